(() => {
  const { at, plain, percent, colour, axis, draw, options, keepDrawn } = shell;
  const data = JSON.parse(document.getElementById("charts").textContent);
  const arms = Object.fromEntries(data.arms.map((arm, i) => [arm.name, { ...arm, order: i }]));
  const symbols = ["circle", "diamond", "triangle-up", "square", "star", "hexagon", "triangle-down", "cross"];

  function symbol(arm) {
    if (arm.kind === "dense") return "square";
    if (arm.kind === "random") return "x";
    return symbols[data.arms.filter((a) => a.kind === "method").findIndex((a) => a.name === arm.name) % symbols.length];
  }

  function logAxis(title, log) {
    return axis(title, log ? { type: "log", dtick: 1, exponentformat: "power", minor: { dtick: "D1", ticks: "outside" } } : {});
  }

  // Error bars of one axis; on a log axis a bar that reaches zero ends just above it.
  function bars(points, measure, log, paint) {
    const of = (p) => p.values[measure];
    const down = points.map((p) => {
      const [mean, low] = of(p);
      return low === null ? 0 : log ? Math.min(mean - low, 0.9 * mean) : mean - low;
    });
    const up = points.map((p) => (of(p)[2] === null ? 0 : of(p)[2] - of(p)[0]));
    return { type: "data", symmetric: false, array: up, arrayminus: down, color: paint, thickness: 1.5, width: 4 };
  }

  const drawable = (p, ...measures) => measures.every((m) => p.values[m] && p.values[m][0] !== null);

  function undrawn(measure) {
    const lost = data.points.filter((p) => p.values[measure] && p.values[measure][0] === null);
    return lost.length ? ` Not drawn, as infinite or unknown: ${lost.map((p) => `${arms[p.arm].label} at ${p.budget}`).join(", ")}.` : "";
  }

  const better = (m) => `${m.better} is better`;

  function drawDensity() {
    const name = at("front-quality").value;
    const measure = data.measures[name];
    const traces = [];
    const shapes = [];
    for (const arm of data.arms) {
      const points = data.points.filter((p) => p.arm === arm.name && drawable(p, name)).sort((a, b) => a.budget - b.budget);
      if (!points.length) continue;
      const paint = colour(arm.colour);
      traces.push({
        type: "scatter", mode: "lines+markers", name: plain(arm.label),
        x: points.map((p) => 100 * p.budget), y: points.map((p) => p.values[name][0]),
        error_y: bars(points, name, measure.log, paint),
        line: { color: paint, width: 2, dash: arm.kind === "random" ? "dot" : "solid" },
        marker: { color: paint, symbol: symbol(arm), size: 9 },
        hoverinfo: "text", hovertext: points.map((p) => `${plain(arm.label)}, ${percent(p.budget)} kept<br>${plain(p.words[name])}`),
      });
      if (arm.kind === "dense") {
        const y = points[0].values[name][0];
        shapes.push({ type: "line", xref: "paper", x0: 0, x1: 1, y0: y, y1: y, line: { color: paint, width: 1, dash: "dash" } });
      }
    }
    draw("chart-density", traces, {
      xaxis: axis("density (% kept)", { ticksuffix: "%" }), yaxis: logAxis(measure.title, measure.log), shapes,
    }, `${measure.title} by density, with 95% intervals; ${better(measure)}. The dashed line is dense.${measure.log ? " Log axis." : ""}${undrawn(name)}`);
  }

  function drawCost() {
    const name = at("front-quality").value;
    const cost = at("front-cost").value;
    if (!cost) return;
    const [measure, price] = [data.measures[name], data.measures[cost]];
    const traces = [];
    for (const arm of data.arms) {
      const points = data.points.filter((p) => p.arm === arm.name && drawable(p, name, cost));
      if (!points.length) continue;
      const paint = colour(arm.colour);
      traces.push({
        type: "scatter", mode: "markers", name: plain(arm.label),
        x: points.map((p) => p.values[cost][0]), y: points.map((p) => p.values[name][0]),
        error_x: bars(points, cost, price.log, paint), error_y: bars(points, name, measure.log, paint),
        marker: { color: paint, symbol: symbol(arm), size: 9 },
        hoverinfo: "text",
        hovertext: points.map((p) => `${plain(arm.label)}, ${percent(p.budget)} kept<br>${plain(measure.title)}: ${plain(p.words[name])}<br>${plain(price.title)}: ${plain(p.words[cost])}`),
      });
    }
    const front = data.fronts[cost][name].map((i) => data.points[i]).filter((p) => drawable(p, name, cost));
    traces.push({
      type: "scatter", mode: "lines", name: "Pareto front", hoverinfo: "skip",
      x: front.map((p) => p.values[cost][0]), y: front.map((p) => p.values[name][0]),
      line: { color: colour("--accent"), width: 1.5, dash: "dash", shape: "hv" },
    });
    const on = [...new Set(front.map((p) => arms[p.arm].label))].join(", ");
    draw("chart-cost", traces, {
      xaxis: logAxis(price.title, price.log), yaxis: logAxis(measure.title, measure.log),
    }, `${measure.title} (${better(measure)}) against ${price.title} (lower is better), with 95% intervals, at every density. On the front, which no other point beats in both: ${on || "nothing"}.${undrawn(name)}`);
  }

  function drawDifference(other) {
    const name = at("difference-quality").value;
    const budget = at("difference-budget").value;
    const found = data.differences[name]?.[budget]?.[other];
    const figure = at(`chart-${other}`).closest("figure");
    figure.hidden = !found || !found.points.length;
    if (figure.hidden) return;
    const measure = data.measures[name];
    const labels = found.points.map((p) => plain(arms[p.arm].label));
    const near = found.points.filter((p) => !p.beyond);
    const annotations = found.points.filter((p) => p.beyond).map((p) => {
      const right = p.at[0] > 0;
      return {
        xref: "paper", x: right ? 1 : 0, xanchor: right ? "right" : "left", y: plain(arms[p.arm].label), showarrow: false,
        text: right ? `${plain(p.far)} →` : `← ${plain(p.far)}`, font: { color: colour(arms[p.arm].colour), size: 13 },
      };
    });
    const traces = near.map((p) => {
      const paint = colour(arms[p.arm].colour);
      const [mean, low, high] = p.at;
      return {
        type: "scatter", mode: "markers", x: [mean], y: [plain(arms[p.arm].label)],
        error_x: { type: "data", symmetric: false, array: [high === null ? 0 : high - mean], arrayminus: [low === null ? 0 : mean - low], color: paint, thickness: 2, width: 5 },
        marker: { color: paint, symbol: symbol(arms[p.arm]), size: 10 },
        hoverinfo: "text", hovertext: [`${plain(arms[p.arm].label)}: ${plain(p.words)}`],
      };
    });
    const said = found.points.map((p) => `${arms[p.arm].label} ${p.words}`).join("; ");
    draw(`chart-${other}`, traces, {
      showlegend: false,
      xaxis: axis(`${measure.title} − ${other}`, { zeroline: true, zerolinewidth: 2, ...(found.window ? { range: found.window } : { rangemode: "tozero" }) }),
      yaxis: axis("", { type: "category", categoryorder: "array", categoryarray: [...labels].reverse(), range: [-0.6, labels.length - 0.4], showgrid: false }),
      annotations,
    }, `To ${other} at ${percent(budget)} kept (${better(measure)}): ${said}.${annotations.length ? " Arrows stand for points beyond the axis." : ""}`);
  }

  const layered = (key, budget) => Object.entries(data.layers?.[key]?.[budget] ?? {}).sort(([a], [b]) => arms[a].order - arms[b].order);

  function layerAxis() {
    const many = data.layers.names.length;
    const step = Math.ceil(many / Math.max(4, Math.floor(at("layers-budget").closest("section").clientWidth / 28)));
    const places = data.layers.names.map((_, i) => i).filter((i) => i % step === 0);
    return axis("", { tickmode: "array", tickvals: places, ticktext: places.map((i) => plain(data.layers.short[i])), tickangle: -60, range: [-0.5, many - 0.5], tickfont: { size: 11 }, showgrid: false });
  }

  function drawLayers() {
    const budget = at("layers-budget").value;
    const density = layered("density", budget);
    at("figure-layers").hidden = !density.length;
    if (density.length) {
      const values = density.flatMap(([, shares]) => shares).filter((v) => v !== null);
      const [low, high] = [Math.min(...values), Math.max(...values)];
      draw("chart-layers", [{
        type: "heatmap", z: density.map(([, shares]) => shares.map((v) => (v === null ? null : 100 * v))), y: density.map(([arm]) => plain(arms[arm].label)),
        zmin: 100 * (high > low ? low : 0), zmax: 100 * (high > low ? high : 1),
        colorscale: [[0, colour("--raised")], [1, colour("--accent")]], xgap: data.layers.names.length > 60 ? 0 : 1, ygap: 3,
        colorbar: { orientation: "h", x: 0, xanchor: "left", y: 1.02, yanchor: "bottom", len: 0.4, ticksuffix: "%", nticks: 4, thickness: 10, outlinewidth: 0, tickfont: { color: colour("--ink") } },
        hoverinfo: "text", hovertext: density.map(([arm, shares]) => shares.map((v, i) => `${plain(arms[arm].label)}<br>${plain(data.layers.names[i])}<br>${v === null ? "unknown" : percent(v)} kept`)),
      }], { xaxis: layerAxis(), yaxis: axis("", { autorange: "reversed", showgrid: false }) },
      `Share kept in each of ${data.layers.names.length} layers, from ${percent(low)} to ${percent(high)}, at ${percent(budget)} density (first seed).`);
    }
    const error = layered("error", budget);
    at("figure-error").hidden = !error.length;
    if (!error.length) return;
    const values = error.flatMap(([, found]) => found).filter((v) => v !== null);
    const log = Math.min(...values) > 0 && Math.max(...values) > 30 * Math.min(...values);
    const many = data.layers.names.length > 60;
    draw("chart-error", error.map(([arm, found]) => {
      const paint = colour(arms[arm].colour);
      return {
        type: "scatter", mode: many ? "lines" : "lines+markers", name: plain(arms[arm].label), x: found.map((_, i) => i), y: found,
        line: { color: paint, width: many ? 1.25 : 1.5, dash: arms[arm].kind === "random" ? "dot" : "solid" }, marker: { color: paint, symbol: symbol(arms[arm]), size: 7 },
        hoverinfo: "text", hovertext: found.map((v, i) => `${plain(arms[arm].label)}<br>${plain(data.layers.names[i])}<br>${v === null ? "unknown" : v}`),
      };
    }), { xaxis: layerAxis(), yaxis: logAxis("output error", log) },
    `Output error of each layer by arm at ${percent(budget)} density (first seed); lower is better.${log ? " Log axis." : ""}`);
  }

  function drawScores() {
    const [layer, arm, budget] = ["layer", "arm", "budget"].map((name) => at(`scores-${name}`).value);
    const found = data.layers.histogram[budget]?.[arm]?.[layer];
    const where = `${data.layers.names[layer]}, ${arms[arm].label}, ${percent(budget)} density`;
    if (!found) {
      draw("chart-scores", [], { xaxis: axis("score"), yaxis: axis("count") }, `No scores were kept for ${where}.`);
      return;
    }
    const [edges, kept, dropped] = found;
    const bar = (name, counts, paint) => ({
      type: "bar", name, x: counts.map((_, i) => (edges[i] + edges[i + 1]) / 2), width: counts.map((_, i) => edges[i + 1] - edges[i]), y: counts,
      marker: { color: paint, line: { color: colour("--paper"), width: 0.5 } }, hoverinfo: "text", hovertext: counts.map((n, i) => `${name}: ${n}<br>${edges[i]} to ${edges[i + 1]}`), textposition: "none",
    });
    const sum = (counts) => counts.reduce((a, b) => a + b, 0);
    draw("chart-scores", [bar("dropped", dropped, colour("--dropped")), bar("kept", kept, colour(arms[arm].colour))],
      { barmode: "stack", bargap: 0, xaxis: axis("score", { showgrid: false }), yaxis: axis("count") },
      `Scores of ${where} (first seed): ${sum(kept).toLocaleString("en")} kept, ${sum(dropped).toLocaleString("en")} dropped.`);
  }

  const front = () => { drawDensity(); drawCost(); };
  const difference = () => { drawDifference("dense"); drawDifference("random"); };
  const all = () => {
    front();
    difference();
    if (at("chart-layers")) drawLayers();
    if (at("chart-scores")) drawScores();
  };

  const measures = Object.entries(data.measures);
  const qualities = measures.filter(([, m]) => !m.cost).map(([name, m]) => [name, m.title]);
  const costs = measures.filter(([, m]) => m.cost).map(([name, m]) => [name, m.title]);
  const budgets = data.budgets.map((b) => [b, `${percent(b)} kept`]);
  options("front-quality", qualities, front);
  options("front-cost", costs, drawCost);
  options("difference-quality", qualities, difference);
  options("difference-budget", budgets, difference);
  if (!costs.length) {
    at("choose-cost").hidden = true;
    at("chart-cost").closest("figure").hidden = true;
  }
  if (data.layers) {
    options("layers-budget", budgets, drawLayers);
    options("scores-layer", data.layers.names.map((name, i) => [i, name]), drawScores);
    const scored = new Set(Object.values(data.layers.histogram).flatMap((found) => Object.keys(found)));
    options("scores-arm", data.arms.filter((arm) => scored.has(arm.name)).map((arm) => [arm.name, arm.label]), drawScores);
    options("scores-budget", budgets, drawScores);
  }

  const download = at("download");
  download.href = URL.createObjectURL(new Blob([at("results").textContent], { type: "application/json" }));
  keepDrawn(all);
})();
