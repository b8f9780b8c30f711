"use strict";

const at = (id) => document.getElementById(id);
const state = { indexes: [], index: null, mode: null, asked: 0 };

function make(name, about = {}, ...inside) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(about)) {
    if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...inside);
  return made;
}

const count = (n) => n.toLocaleString("en");
const many = (n, what) => `${count(n)} ${what}${n === 1 ? "" : "s"}`;
const figure = (x) => (x >= 100 ? x.toFixed(0) : x >= 0.1 ? x.toPrecision(3) : x.toPrecision(2));

async function ask(path, body) {
  let answer;
  try {
    answer = await fetch(path, body && {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
    });
  } catch {
    throw new Error("The server does not answer. Is it still running?");
  }
  const said = await answer.json().catch(() => null);
  if (!answer.ok) throw new Error(said?.error?.message ?? `The server answered ${answer.status}.`);
  return said;
}

const api = (what) => `api/${state.index.name}/${what}`;

/* What is served */

async function start() {
  try {
    state.indexes = (await ask("api/health")).indexes;
  } catch (error) {
    return fail(error);
  }
  at("index").append(...state.indexes.map((index) => make("option", { value: index.name }, index.name)));
  at("which").hidden = state.indexes.length < 2;
  const address = new URLSearchParams(location.search);
  choose(state.indexes.find((index) => index.name === address.get("index")) ?? state.indexes[0], address.get("mode"));
  at("query").value = address.get("q") ?? "";
  if (at("query").value.trim()) search();
  else invite();
}

function choose(index, mode) {
  state.index = index;
  state.mode = index.modes.includes(mode) ? mode : index.modes[index.modes.length - 1];
  at("index").value = index.name;
  at("size").textContent = `${many(index.documents, "document")}${index.source ? ` of ${index.source}` : ""}`;
  const says = { sparse: index.encoder ?? "given vectors", dense: index.dense, fused: "both lists, interpolated" };
  at("modes").replaceChildren(at("modes").querySelector("legend"), ...["sparse", "dense", "fused"].flatMap((name) => [
    make("input", {
      type: "radio", name: "mode", id: `mode-${name}`, value: name,
      checked: name === state.mode, disabled: !index.modes.includes(name),
    }),
    make("label", { htmlFor: `mode-${name}`, title: index.modes.includes(name) ? says[name] : "indexed without dense vectors" }, name),
  ]));
  measured().catch(fail);
}

function invite() {
  at("status").textContent = state.index.documents ? "" : "The index is empty: add documents by program, or index a folder.";
}

/* Search */

async function search() {
  const query = at("query").value;
  if (!query.trim()) {
    at("results").replaceChildren();
    at("searched").hidden = true;
    return fail(new Error("Type something to search for."));
  }
  const number = ++state.asked;
  const address = new URLSearchParams({ q: query, mode: state.mode });
  if (state.indexes.length > 1) address.set("index", state.index.name);
  history.replaceState(null, "", `?${address}`);
  at("error").hidden = true;
  at("status").textContent = "Searching …";
  const began = performance.now();
  try {
    const found = await ask(api("search"), { query, mode: state.mode });
    if (number === state.asked) show(found, query, performance.now() - began);
  } catch (error) {
    if (number === state.asked) {
      at("results").replaceChildren();
      at("searched").hidden = true;
      fail(error);
    }
  }
}

function fail(error) {
  at("status").textContent = "";
  at("error").textContent = error.message;
  at("error").hidden = false;
}

function show(found, query, took) {
  const n = found.results.length;
  at("status").textContent = n
    ? `${many(n, "result")} from ${many(found.documents, "document")}: ${figure(found.search_ms)} ms in the index, ` +
      `${figure(found.encode_ms)} ms to encode the query, ${figure(took)} ms in all`
    : "Nothing shares a term with this query. Try other words.";
  at("searched").hidden = !found.terms.length;
  at("searched").replaceChildren("Searched for: ", ...found.terms.slice(0, 12).map((term) => make("span", {}, `${term.term} ${figure(term.weight)}`)));
  at("results").replaceChildren(...found.results.map((result, i) => entry(result, i, query, found.mode)));
}

function entry(result, i, query, mode) {
  const why = make("div", { className: "why", id: `why-${i}`, hidden: true });
  const title = make("button", { type: "button", className: "title", "aria-expanded": "false", "aria-controls": why.id },
    make("span", { className: "name" }, result.title || result.id), make("span", { className: "score" }, figure(result.score)));
  title.addEventListener("click", () => {
    const open = title.getAttribute("aria-expanded") === "true";
    title.setAttribute("aria-expanded", String(!open));
    why.hidden = open;
    if (!open && !why.childElementCount) explain(why, result, query, mode);
  });
  return make("li", {}, make("h3", {}, title), make("p", { className: "excerpt" }, ...marked(result)), why);
}

/* Offsets count characters, which are one or two units of a JavaScript text. */
function marked(result) {
  const letters = Array.from(result.excerpt);
  const parts = [result.cut[0] ? "… " : ""];
  let last = 0;
  for (const [start, stop] of result.marks) {
    parts.push(letters.slice(last, start).join(""), make("mark", {}, letters.slice(start, stop).join("")));
    last = stop;
  }
  return [...parts, letters.slice(last).join(""), result.cut[1] ? " …" : ""];
}

async function explain(place, result, query, mode) {
  place.replaceChildren(make("p", {}, "Asking why …"));
  const parts = Object.entries(result.parts).map(([name, score]) => `${name} ${figure(score)}`).join(", ");
  const says = mode === "sparse" ? [] : [make("p", {}, mode === "dense"
    ? `Dense score ${figure(result.score)}: the inner product of two vectors, which no single term explains. What the sparse side sees:`
    : `Found with ${parts}; scores are scaled to 0 … 1 in each list and averaged. What the sparse side sees:`)];
  try {
    const [why, whole] = await Promise.all([
      ask(api("explain"), { query, id: result.id }),
      ask(api(`documents/${encodeURIComponent(result.id)}`)),
    ]);
    place.replaceChildren(...says, terms(why),
      make("details", {}, make("summary", {}, `Whole text (${result.id})`), make("pre", {}, whole.text)));
  } catch (error) {
    place.replaceChildren(make("p", { role: "alert" }, error.message));
  }
}

function terms(why) {
  if (!why.terms.length) return make("p", {}, "No term of the query stands in this document.");
  const most = why.terms[0].contribution;
  const rows = why.terms.slice(0, 20).map((term) => {
    const bar = make("div");
    bar.style.width = `${(100 * term.contribution) / most}%`;
    return make("tr", {}, make("th", { scope: "row" }, term.term), ...[term.query, term.document, term.contribution].map((x) => make("td", {}, figure(x))),
      make("td", { className: "share" }, bar));
  });
  const rest = why.terms.length - rows.length;
  return make("div", { className: "scroll" },
    make("table", {}, make("thead", {}, make("tr", {}, ...["term", "query", "document", "adds"].map((name) => make("th", { scope: "col" }, name)),
      make("td", { className: "share" }))), make("tbody", {}, ...rows)),
    make("p", { className: "quiet" }, `Sparse score ${figure(why.score)}${rest > 0 ? `, with ${many(rest, "more term")}` : ""}` +
      `${why.missing.length ? `; not in it: ${why.missing.slice(0, 8).map((term) => term.term).join(", ")}` : ""}`));
}

/* Recall and time */

async function measured() {
  const index = state.index;
  at("measured").hidden = true;
  if (!index.measured) return;
  const found = await ask(api("measured"));
  if (index !== state.index) return;
  at("measured-says").textContent = found.says;
  at("measured-note").textContent = found.note;
  drawn = found;
  const head = ["", `recall@${found.k}`, "ms a query", "documents scored"];
  at("figures").replaceChildren(
    make("thead", {}, make("tr", {}, ...head.map((name) => make("th", { scope: "col" }, name)))),
    make("tbody", {}, ...found.series.flatMap((series) => series.points.map((point) => make("tr", {},
      make("th", { scope: "row" }, series.name), make("td", {}, point.recall.toFixed(3)), make("td", {}, figure(point.ms)),
      make("td", {}, count(Math.round(point.scored))))))));
  at("measured").hidden = false;
  draw();
}

let drawn = null;
const colours = (series) => {
  let methods = 0;
  return series.map((one) => (one.kind === "method" ? `var(--method-${(methods++ % 2) + 1})` : `var(--${one.kind})`));
};

function draw() {
  if (!drawn || at("measured").hidden) return;
  const colour = colours(drawn.series);
  at("plot").replaceChildren(plot(drawn, Math.max(280, Math.min(at("plot").clientWidth, 700)), colour));
  at("names").replaceChildren(...drawn.series.map((series, i) => {
    const sign = make("span", { "aria-hidden": "true" }, { dense: "■", random: "▲", method: "●" }[series.kind]);
    sign.style.color = colour[i];
    return make("li", {}, sign, ` ${series.name}`);
  }), make("li", {}, "◯ chosen"));
}

function plot(found, width, colour) {
  const svg = (name, about, ...inside) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(about)) made.setAttribute(key, value);
    made.append(...inside);
    return made;
  };
  const [height, left, bottom, top, right] = [340, 62, 44, 14, 16];
  const points = found.series.flatMap((series) => series.points);
  const low = 10 ** Math.floor(Math.log10(Math.min(...points.map((p) => p.ms))) - 1e-9);
  const high = 10 ** Math.ceil(Math.log10(Math.max(...points.map((p) => p.ms))) + 1e-9);
  const x = (recall) => left + recall * (width - left - right);
  const y = (ms) => top + (1 - Math.log(ms / low) / Math.log(high / low)) * (height - top - bottom);
  const parts = [];
  for (let ms = low; ms <= high * 1.001; ms *= 10) {
    parts.push(svg("line", { x1: left, x2: width - right, y1: y(ms), y2: y(ms), class: "axis" }),
      svg("text", { x: left - 8, y: y(ms) + 4, "text-anchor": "end" }, String(Number(ms.toPrecision(1)))));
  }
  for (const recall of [0, 0.25, 0.5, 0.75, 1]) {
    parts.push(svg("line", { x1: x(recall), x2: x(recall), y1: top, y2: height - bottom, class: "axis" }),
      svg("text", { x: x(recall), y: height - bottom + 18, "text-anchor": recall === 1 ? "end" : "middle" }, String(recall)));
  }
  parts.push(svg("text", { x: (left + width - right) / 2, y: height - 4, "text-anchor": "middle" }, `recall@${found.k} against exhaustive search`),
    svg("text", { x: 12, y: (height - bottom + top) / 2, transform: `rotate(-90 12 ${(height - bottom + top) / 2})`, "text-anchor": "middle" }, "ms a query"));
  const shapes = { dense: "rect", random: "path", method: "circle" };
  found.series.forEach((series, i) => {
    const sorted = [...series.points].sort((a, b) => a.recall - b.recall || a.ms - b.ms);
    if (sorted.length > 1) {
      const line = svg("polyline", { points: sorted.map((p) => `${x(p.recall)},${y(p.ms)}`).join(" "), class: "series" });
      line.style.stroke = colour[i];
      parts.push(line);
    }
    for (const p of sorted) {
      const [cx, cy] = [x(p.recall), y(p.ms)];
      const about = { rect: { x: cx - 4.5, y: cy - 4.5, width: 9, height: 9 }, path: { d: `M${cx} ${cy - 5.5}l5 9.5h-10z` }, circle: { cx, cy, r: 4.5 } };
      const point = svg(shapes[series.kind], { ...about[shapes[series.kind]], class: "point" },
        svg("title", {}, `${series.name}: recall ${p.recall.toFixed(3)}, ${figure(p.ms)} ms`));
      point.style.fill = colour[i];
      parts.push(point);
      if (p.chosen) parts.push(svg("circle", { cx, cy, r: 8.5, class: "chosen" }));
    }
  });
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": `Recall against time. ${found.says}` }, ...parts);
}

addEventListener("resize", draw);

/* Keys and theme */

at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  search();
});
at("modes").addEventListener("change", (event) => {
  state.mode = event.target.value;
  if (at("query").value.trim()) search();
});
at("index").addEventListener("change", () => {
  choose(state.indexes.find((index) => index.name === at("index").value), state.mode);
  if (at("query").value.trim()) search();
  else invite();
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target === at("query");
  if (event.key === "/" && !typing) {
    event.preventDefault();
    at("query").select();
  } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    const titles = [...document.querySelectorAll(".title")];
    const here = titles.indexOf(document.activeElement);
    if (!titles.length || (here < 0 && !typing)) return;
    event.preventDefault();
    const next = here + (event.key === "ArrowDown" ? 1 : -1);
    (next < 0 ? at("query") : titles[Math.min(next, titles.length - 1)]).focus();
  }
});

function theme(next) {
  document.documentElement.dataset.theme = next;
  at("theme").textContent = next === "dark" ? "Light" : "Dark";
}
theme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
at("theme").addEventListener("click", () => theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));

start();
