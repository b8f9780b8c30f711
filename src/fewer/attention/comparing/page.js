(() => {
  const { at, plain, percent, colour, draw, options, keepDrawn } = shell;
  const data = JSON.parse(document.getElementById("data").textContent);
  const stages = { prefill: "prompts", decode: "decoding" };

  const of = (stage) => data.methods.filter((m) => m.stage === stage);
  const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
  const paint = (i) => colour(`--arm-${(i % 8) + 1}`);
  const axis = (title, more) => shell.axis(title, more, 8);

  // Ticks at whole numbers, about so many.
  const whole = (count, ticks) => ({ tick0: 0, dtick: Math.ceil(count / ticks) });

  // Heat maps side by side, `columns` of them in a row, each under its title; all but the first column without numbers.
  function panels(id, found, columns, high, words) {
    const rows = Math.ceil(found.length / columns);
    const element = at(id);
    const [left, top, gap, label] = [64, 4, 10, 22];
    const wide = (element.clientWidth - left - gap * columns) / columns;
    const height = rows * (high + label + gap) + 40;
    const [across, down] = [element.clientWidth - left, height - 40];
    const layout = { annotations: [], margin: { l: left, r: 0, t: top, b: 40 - top } };
    const traces = found.map((panel, i) => {
      const [column, row] = [i % columns, Math.floor(i / columns)];
      const n = i ? i + 1 : "";
      const x = column * (wide + gap) / across;
      const y = 1 - (row * (high + label + gap) + label) / down;
      const last = i + columns >= found.length;
      layout[`xaxis${n}`] = axis(last ? panel.x : "", { domain: [x, x + wide / across], anchor: `y${n}`, showgrid: false, showticklabels: last, nticks: 4, automargin: false, ...panel.across });
      layout[`yaxis${n}`] = axis(column ? "" : panel.y, { domain: [y - high / down, y], anchor: `x${n}`, showgrid: false, showticklabels: !column, nticks: 5, autorange: "reversed", automargin: false, ...panel.down });
      layout.annotations.push({ text: plain(panel.title), xref: "paper", yref: "paper", x, y, xanchor: "left", yanchor: "bottom", showarrow: false, font: { size: 12 } });
      return {
        type: "heatmap", z: panel.z, x0: panel.x0 ?? 0, dx: panel.dx ?? 1, y0: panel.y0 ?? 0, dy: panel.dy ?? 1,
        xaxis: `x${n}`, yaxis: `y${n}`, zmin: panel.low, zmax: panel.high,
        colorscale: [[0, colour("--rule")], [1, colour("--accent")]], showscale: false, hovertemplate: panel.hover,
      };
    });
    draw(id, traces, layout, words, height);
  }

  function drawLayers() {
    const [stage, measure] = [at("stage").value, at("measure").value];
    const methods = of(stage);
    at("chart-layers").closest("section").hidden = !methods.length;
    if (!methods.length) return;
    const line = (m, i, kind) => ({
      type: "scatter", mode: "lines+markers", name: plain(kind === "own" ? m.name : `random:${m.name}`), x: data.layers, y: m[measure][kind].map(mean),
      line: { color: paint(i), width: kind === "own" ? 2 : 1, dash: kind === "own" ? "solid" : "dot" }, marker: { size: kind === "own" ? 6 : 4 },
      legendgroup: m.name, showlegend: kind === "own", hovertemplate: "layer %{x}: %{y:.3f}",
    });
    draw("chart-layers", methods.flatMap((m, i) => [line(m, i, "own"), line(m, i, "random")]), {
      xaxis: axis("layer", whole(data.layers.length, 15)), yaxis: axis(measure, { rangemode: "tozero" }),
    }, `Mean ${measure} of the heads of each layer, in ${stages[stage]}; ${measure === "recall" ? "higher" : "lower"} is better. Dotted: random twins.`, 400);

    const panel = (m, kind) => ({
      title: kind === "own" ? m.name : "its twin", z: m[measure][kind], y0: data.layers[0], dy: data.layers.length > 1 ? data.layers[1] - data.layers[0] : 1,
      x: "head", y: "layer", across: whole(data.heads, 5), down: whole(data.layers.length, 8), low: 0, high: 1, hover: `layer %{y}, head %{x}: %{z:.3f}<extra>${plain(m.name)}</extra>`,
    });
    const measured = measure === "recall" ? "Recall" : "Output error";
    const narrow = at("chart-heads").clientWidth < 110 * methods.length;
    const [own, random] = ["own", "random"].map((kind) => methods.map((m) => panel(m, kind)));
    panels("chart-heads", narrow ? own.flatMap((one, i) => [one, random[i]]) : [...own, ...random], narrow ? 2 : methods.length, 170,
      `${measured} of every head, from 0 (grey) to 1 (blue); ${narrow ? "beside" : "below"} each method its random twin.`);
  }

  function drawMaps() {
    const map = data.maps[at("map").value];
    for (const stage of Object.keys(stages)) {
      const methods = of(stage);
      const mass = map?.mass[stage];
      at(`chart-${stage}`).closest("figure").hidden = !mass;
      if (!mass) continue;
      const decodes = stage === "decode";
      const size = data.tokens / mass[0].length;
      const place = { x: "key", y: decodes ? "" : "query", x0: size / 2, dx: size, ...(decodes ? { y0: 1, dy: 1 } : { y0: data.tokens / mass.length / 2, dy: data.tokens / mass.length }) };
      const found = [
        { ...place, title: "weight of dense attention (log)", z: mass, low: -4, high: 0, hover: "query %{y:.0f}, key %{x:.0f}: 10^%{z:.2f}<extra></extra>" },
        ...methods.map((m) => ({ ...place, title: `${m.name}: recall ${percent(m.recall.own[data.layers.indexOf(map.layer)][map.head])}`, z: map.kept[m.name], low: 0, high: 1, hover: `query %{y:.0f}, key %{x:.0f}: %{z:.2f} kept<extra>${plain(m.name)}</extra>` })),
      ];
      const columns = decodes ? 1 : Math.max(1, Math.min(found.length, Math.floor(at(`chart-${stage}`).clientWidth / 250)));
      panels(`chart-${stage}`, found, columns, decodes ? 48 : 230, decodes
        ? `Keys that the last ${data.steps} tokens read, one row a token. Blue is kept, grey is left out.`
        : "Cells of the attention matrix in prompts, queries from top to bottom. Blue is kept, grey is left out.");
    }
  }

  options("stage", Object.entries(stages).filter(([stage]) => of(stage).length), drawLayers);
  options("measure", [["recall", "recall"], ["error", "output error"]], drawLayers);
  options("map", data.maps.map((map, i) => [i, `layer ${map.layer}, head ${map.head}`]), drawMaps);

  keepDrawn(() => { drawLayers(); drawMaps(); });
})();
