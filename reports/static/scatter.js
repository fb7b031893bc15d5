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

  const chosen = (id) => Number($(id).value);
  const heading = (id) => now().metrics[chosen(id)].heading;
  const two = () => chosen("a") >= 0 && chosen("b") >= 0 && chosen("a") !== chosen("b");
  const label = (index) => (index < 0 ? "all points" : now().points[index].join(" "));

  function caption({ x, y }) {
    const of = (id, point) => heading(id) + (two() ? ` of ${label(chosen(point))}` : "");
    const where = two() ? "" : `, ${label(chosen("a"))}`;
    $("caption").textContent = `${of("x", "a")} across, ${of("y", "b")} up${where}: ${x.length.toLocaleString("en")} marks, `
      + `r ${written(pearson(x, y))}, ρ ${written(pearson(ranks(x), ranks(y)))}`;
  }

  function tip(content, data, index) {
    const points = [label(data.point[index]), ...(two() ? [label(chosen("b"))] : [])].join(", ");
    const lines = [content.clips[data.clip[index]], points, `${data.x[index]}, ${data.y[index]}`];
    return codecbench.tip(data.heard(index) ? [...lines, "click to hear"] : lines);
  }

  const field = (name) => ({ field: name });
  const pick = (values, indices) => Float64Array.from(indices, (i) => values[i]);

  async function draw() {
    const content = now(), data = pairs();
    data.heard = (i) => content.heard[data.clip[i]] !== undefined;
    $("b").disabled = chosen("a") < 0;
    caption(data);
    const ranges = [span(data.x), span(data.y)];
    const same = $("x").value === $("y").value;
    if (same) ranges[0] = ranges[1] = [Math.min(ranges[0][0], ranges[1][0]), Math.max(ranges[0][1], ranges[1][1])];
    const figure = codecbench.figure({ x_range: ranges[0], y_range: ranges[1] });
    figure.xaxes[0].axis_label = heading("x") + (two() ? `, ${label(chosen("a"))}` : "");
    figure.yaxes[0].axis_label = heading("y") + (two() ? `, ${label(chosen("b"))}` : "");

    // Marks that can be heard are filled, and lie above the others.
    const all = data.x.map((_, i) => i), many = all.length > 5000;
    const layers = [all, all.filter(data.heard)].map((indices, filled) => {
      const source = new Bokeh.ColumnDataSource({ data: { x: pick(data.x, indices), y: pick(data.y, indices) } });
      const size = many ? 3 + 2 * filled : 6 + 2 * filled;
      const marks = codecbench.plain(figure.scatter(field("x"), field("y"), { source, size, line_width: filled || many ? 0 : 1 }));
      return { marks, source, indices };
    });
    const diagonal = new Bokeh.Slope({ gradient: 1, y_intercept: 0, line_dash: "dashed", level: "underlay", visible: same });
    figure.add_layout(diagonal);
    figure.add_tools(
      new Bokeh.PanTool(),
      new Bokeh.WheelZoomTool({ modifiers: { ctrl: true } }), // the bare wheel scrolls the page
      new Bokeh.HoverTool({ renderers: [layers[0].marks], tooltips: (_, { index }) => tip(content, data, index ?? 0) }),
      new Bokeh.TapTool({ renderers: [layers[1].marks] }),
    );
    const { source, indices } = layers[1];
    source.selected.change.connect(() => {
      const [first] = source.selected.indices;
      if (first === undefined) return;
      source.selected.indices = [];
      const i = indices[first];
      codecbench.listen(content.heard[data.clip[i]], ...content.points[data.point[i]]);
    });
    const paint = () => {
      const accent = { value: css("--accent") };
      const alpha = { value: Math.max(0.12, Math.min(0.8, 40 / Math.sqrt(all.length))) };
      layers[0].marks.glyph.setv({ line_color: accent, line_alpha: alpha, fill_color: accent, fill_alpha: many ? alpha : { value: 0 } });
      layers[1].marks.glyph.setv({ line_color: { value: null }, fill_color: accent, fill_alpha: { value: 0.85 } });
      diagonal.line_color = css("--soft");
    };
    entry = { ...(await codecbench.show(figure, $("plot"), paint)), data, content };
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

  // For tests and for the curious: how many marks there are, and where in the window the first one is that `wanted` takes.
  codecbench.items = () => entry && {
    marks: entry.data.x.length,
    place(wanted) {
      const { data, content, view } = entry, box = view.el.getBoundingClientRect();
      const i = data.clip.findIndex((clip, k) => wanted(content.clips[clip], content.points[data.point[k]].join(" "), data.heard(k)));
      return [box.x + view.frame.x_scale.compute(data.x[i]), box.y + view.frame.y_scale.compute(data.y[i])];
    },
  };
})();
