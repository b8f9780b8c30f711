"use strict";
// What every page shares: text and colours for Plotly, axes, charts with their words, selects, and light and dark.
const shell = (() => {
  const at = (id) => document.getElementById(id);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;
  let chosen = null; // the reader's theme, once chosen; else the system's

  // Plotly reads its own small markup in text, so names from the results are escaped before they get there.
  const plain = (words) => String(words).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const percent = (share) => `${+(100 * share).toPrecision(3)}%`;

  const probe = document.createElement("span");
  probe.hidden = true;
  document.body.append(probe);
  const colour = (name) => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  };

  function axis(title, more = {}, standoff = 10) {
    return {
      title: { text: plain(title), standoff, font: { size: 13 } }, zeroline: false, gridcolor: colour("--rule"), linecolor: colour("--quiet"),
      zerolinecolor: colour("--quiet"), automargin: true, fixedrange: true, tickfont: { size: 12 }, ...more,
    };
  }

  // `height` in pixels; without one the chart is as high as the style sheet says.
  function draw(id, traces, layout, words, height) {
    const style = getComputedStyle(document.body);
    const element = at(id);
    if (height) element.style.height = `${height}px`;
    Plotly.react(element, traces, {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: style.fontFamily, size: 13, color: colour("--ink") },
      margin: { l: 8, r: 12, t: 8, b: 8 }, hovermode: "closest", dragmode: false,
      hoverlabel: { bgcolor: colour("--raised"), bordercolor: colour("--rule"), font: { color: colour("--ink") } },
      width: element.clientWidth, height: height ?? element.clientHeight,
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, font: { size: 13 } },
      ...layout,
    }, { displayModeBar: false });
    element.setAttribute("aria-label", words);
    at(id.replace("chart", "caption")).textContent = words;
  }

  // A select with nothing to choose is hidden; a page may lack one.
  function options(id, pairs, redraw) {
    const select = at(id);
    if (!select) return;
    select.replaceChildren(...pairs.map(([value, label]) => new Option(label, value)));
    select.addEventListener("change", redraw);
    if (pairs.length < 2) select.closest("label").hidden = true;
  }

  // Draws everything, now and whenever the theme, the width or the medium changes.
  function keepDrawn(all) {
    const night = () => (chosen ? chosen === "dark" : dark.matches);
    function paint() {
      at("theme").setAttribute("aria-pressed", String(night()));
      all();
    }
    at("theme").addEventListener("click", () => {
      chosen = night() ? "light" : "dark";
      root.dataset.theme = chosen;
      paint();
    });
    dark.addEventListener("change", paint);
    let width = innerWidth;
    addEventListener("resize", () => {
      if (width !== innerWidth) requestAnimationFrame(all); // a phone's address bar changes the height alone
      width = innerWidth;
    });
    addEventListener("beforeprint", () => {
      root.dataset.theme = "light";
      root.classList.add("printing");
      document.querySelectorAll("details").forEach((d) => { d.open = true; });
      all();
    });
    addEventListener("afterprint", () => {
      root.classList.remove("printing");
      if (chosen) root.dataset.theme = chosen;
      else delete root.dataset.theme;
      all();
    });
    paint();
  }

  return { at, plain, percent, colour, axis, draw, options, keepDrawn };
})();
