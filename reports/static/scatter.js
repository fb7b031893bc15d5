// Clip by clip: any metric against another, or one codec against another; marks lead to the clip in the section Listen.
(() => {
  "use strict";
  const codecbench = (window.codecbench = window.codecbench || {});
  const contents = JSON.parse(document.getElementById("items-data").textContent);
  const $ = (id) => document.getElementById(`items-${id}`);
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  let entry = null; // what is drawn

  const option = (value, text) => Object.assign(document.createElement("option"), { value, textContent: text });
  const now = () => contents[Number($("content").value)];
  const label = (index) => (index < 0 ? "all points" : now().points[index].join(" "));

  function fill() {
    const { points, metrics } = now();
    const names = points.map((point, i) => option(i, point.join(" ")));
    $("a").replaceChildren(option(-1, "all"), ...names);
    $("b").replaceChildren(option(-1, "the same"), ...names.map((o) => o.cloneNode(true)));
    for (const id of ["x", "y"]) $(id).replaceChildren(...metrics.map((m, i) => option(i, m.heading)));
    $("y").value = String(Math.min(1, metrics.length - 1));
  }

  // Clips and points that have both scores.
  function pairs() {
    const { scores, points, clips } = now();
    const [a, b] = [Number($("a").value), Number($("b").value)];
    const [xs, ys] = [scores[Number($("x").value)], scores[Number($("y").value)]];
    const out = { x: [], y: [], clip: [], point: [] };
    for (let p = 0; p < points.length; p++) {
      if (a >= 0 && p !== a) continue;
      const q = a >= 0 && b >= 0 ? b : p;
      for (let c = 0; c < clips.length; c++) {
        if (xs[p][c] === null || ys[q][c] === null) continue;
        out.x.push(xs[p][c]);
        out.y.push(ys[q][c]);
        out.clip.push(c);
        out.point.push(p);
      }
    }
    return out;
  }

  function pearson(x, y) {
    const n = x.length;
    let mx = 0, my = 0, xx = 0, yy = 0, xy = 0;
    for (let i = 0; i < n; i++) { mx += x[i] / n; my += y[i] / n; }
    for (let i = 0; i < n; i++) {
      const dx = x[i] - mx, dy = y[i] - my;
      xx += dx * dx; yy += dy * dy; xy += dx * dy;
    }
    return xy / Math.sqrt(xx * yy);
  }

  // Ranks, the mean of them where values are equal.
  function ranks(values) {
    const order = values.map((_, i) => i).sort((a, b) => values[a] - values[b]);
    const out = new Float64Array(values.length);
    for (let i = 0; i < order.length;) {
      let j = i;
      while (j < order.length && values[order[j]] === values[order[i]]) j++;
      for (let k = i; k < j; k++) out[order[k]] = (i + j - 1) / 2;
      i = j;
    }
    return out;
  }

  const span = (values) => {
    let low = Infinity, high = -Infinity;
    for (const v of values) { low = Math.min(low, v); high = Math.max(high, v); }
    const pad = 0.03 * (high - low) || 0.1;
    return [low - pad, high + pad];
  };
  const written = (value) => (Number.isFinite(value) ? value.toFixed(2).replace("-", "−") : "–");

  function caption(data) {
    const { metrics } = now();
    const [a, b] = [Number($("a").value), Number($("b").value)];
    const [mx, my] = [metrics[Number($("x").value)].heading, metrics[Number($("y").value)].heading];
    const two = a >= 0 && b >= 0 && a !== b;
    const n = data.x.length, r = pearson(data.x, data.y), rho = pearson(ranks(data.x), ranks(data.y));
    const what = two ? `${mx} of ${label(a)} → ${my} of ${label(b)} ↥` : `${mx} → ${my} ↥, ${label(a)}`;
    $("caption").textContent = `${what}: ${n.toLocaleString("en")} marks, r ${written(r)}, ρ ${written(rho)}`
      .replace(" →", " across,").replace(" ↥", " up");
    return two;
  }

  async function draw() {
    const content = now(), data = pairs();
    $("b").disabled = Number($("a").value) < 0;
    const two = caption(data);
    const ranges = [span(data.x), span(data.y)];
    const same = $("x").value === $("y").value;
    if (same) ranges[0] = ranges[1] = [Math.min(ranges[0][0], ranges[1][0]), Math.max(ranges[0][1], ranges[1][1])];
    const figure = codecbench.figure({ x_range: ranges[0], y_range: ranges[1] });
    figure.xaxes[0].axis_label = content.metrics[Number($("x").value)].heading + (two ? `, ${label(Number($("a").value))}` : "");
    figure.yaxes[0].axis_label = content.metrics[Number($("y").value)].heading + (two ? `, ${label(Number($("b").value))}` : "");
    // Names are looked up when they are shown: a hundred thousand of them are not copied.
    const heard = (i) => content.heard[data.clip[i]] !== undefined;
    const many = data.x.length > 5000;
    const source = new Bokeh.ColumnDataSource({ data: { x: Float64Array.from(data.x), y: Float64Array.from(data.y) } });
    const marks = figure.scatter({ field: "x" }, { field: "y" }, { source, size: many ? 3 : 6, line_width: many ? 0 : 1 });
    const layers = [marks];
    const here = data.x.map((_, i) => i).filter(heard);
    const full = new Bokeh.ColumnDataSource({ data: { x: here.map((i) => data.x[i]), y: here.map((i) => data.y[i]) } });
    if (here.length) layers.push(figure.scatter({ field: "x" }, { field: "y" }, { source: full, size: many ? 5 : 8, line_color: null }));
    if (same) {
      const diagonal = new Bokeh.Slope({ gradient: 1, y_intercept: 0, line_dash: "dashed", level: "underlay" });
      figure.add_layout(diagonal);
      layers.push(diagonal);
    }
    const pan = new Bokeh.PanTool(), zoom = new Bokeh.WheelZoomTool();
    const names = (i) => `${content.clips[data.clip[i]]}`;
    const hover = new Bokeh.HoverTool({
      renderers: [marks],
      tooltips: (_, vars) => {
        const box = document.createElement("div");
        box.className = "codecbench-tip";
        const i = vars.index ?? 0;
        const at = Number($("b").value) >= 0 && Number($("a").value) >= 0 ? `${label(Number($("a").value))}, ${label(Number($("b").value))}` : label(data.point[i]);
        box.textContent = `${names(i)}\n${at}\n${data.x[i]}, ${data.y[i]}${heard(i) ? "\nclick to hear" : ""}`;
        box.style.whiteSpace = "pre-line";
        return box;
      },
    });
    figure.add_tools(pan, zoom, hover, new Bokeh.TapTool({ renderers: [marks, ...layers.slice(1, here.length ? 2 : 1)] }));
    figure.toolbar.active_scroll = null;
    $("plot").addEventListener("focusin", () => {}, { once: true });
    const play = (i) => codecbench.listen && heard(i) && codecbench.listen(content.heard[data.clip[i]], ...content.points[data.point[i]]);
    const tapped = (from, translate) => from.selected.change?.connect?.(() => {
      const [first] = from.selected.indices;
      if (first === undefined) return;
      from.selected.indices = [];
      play(translate(first));
    });
    tapped(full, (i) => here[i]);
    source.selected.change.connect(() => { if (source.selected.indices.length) source.selected.indices = []; });
    const paint = () => {
      const accent = css("--accent");
      const alpha = Math.max(0.12, Math.min(0.8, 40 / Math.sqrt(data.x.length)));
      marks.glyph.setv({ line_color: { value: accent }, line_alpha: { value: alpha }, fill_color: { value: accent }, fill_alpha: { value: many ? alpha : 0 } });
      if (here.length) layers[1].glyph.setv({ fill_color: { value: accent }, fill_alpha: { value: 0.85 } });
      for (const layer of layers) for (const g of [layer.nonselection_glyph, layer.selection_glyph]) g?.setv?.(layer.glyph.attributes);
      if (same) layers.at(-1).line_color = css("--soft");
    };
    entry = await codecbench.show(figure, $("plot"), paint);
    entry.data = data;
    entry.ranges = ranges;
    entry.play = play;
  }

  $("content").replaceChildren(...contents.map((each, i) => option(i, each.content)));
  fill();
  $("content").addEventListener("change", () => { fill(); draw(); });
  for (const id of ["a", "b", "x", "y"]) $(id).addEventListener("change", draw);
  $("whole").addEventListener("click", draw);
  $("tools").addEventListener("submit", (event) => event.preventDefault());
  new IntersectionObserver((entries, observer) => {
    if (!entries.some((e) => e.isIntersecting)) return;
    observer.disconnect();
    draw();
  }, { rootMargin: "200px" }).observe($("plot"));
  codecbench.items = () => entry && { marks: entry.data.x.length, play: entry.play, draw };
})();
