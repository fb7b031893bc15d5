// Rate-quality curves: drawn when they come near the window, the rest when the browser has time; in the page's colours.
(() => {
  "use strict";
  const codecbench = (window.codecbench = window.codecbench || {});
  const { charts, legend } = JSON.parse(document.getElementById("curves-data").textContent);
  const styles = new Map(legend.map((style) => [style.name, style]));
  const hidden = new Set();
  let anchors = true;
  const drawn = []; // {figure, paint, apply} of each chart that is there

  Bokeh.logger.set_level("warn");
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const FONT = "system-ui, -apple-system, 'Segoe UI', sans-serif";

  codecbench.figure = (options) => {
    const figure = new Bokeh.Plotting.figure({
      sizing_mode: "stretch_both", toolbar_location: null, min_border: 4, outline_line_color: null, tools: [], ...options,
    });
    figure.toolbar.logo = null;
    return figure;
  };

  // One way to look, whatever the pointer does.
  codecbench.plain = (part) => {
    part.setv({ nonselection_glyph: null, selection_glyph: null, hover_glyph: null, muted_glyph: null });
    return part;
  };

  // What the pointer is told: names as text alone.
  codecbench.tip = (lines) => {
    const box = document.createElement("div");
    box.style.whiteSpace = "pre-line";
    box.textContent = lines.join("\n");
    return box;
  };

  // Colours that follow the page, light or dark.
  codecbench.paint = (figure) => {
    const ink = css("--soft"), line = css("--line"), card = css("--card");
    figure.setv({ background_fill_color: card, border_fill_color: card });
    for (const axis of [...new Set([...figure.xaxes, ...figure.yaxes, ...figure.right])]) {
      axis.setv({
        axis_line_color: line, major_tick_line_color: line, minor_tick_line_color: null, major_label_text_color: ink,
        axis_label_text_color: ink, major_label_text_font: FONT, axis_label_text_font: FONT, major_label_text_font_size: "12px",
        axis_label_text_font_size: "12px", axis_label_text_font_style: "normal", major_tick_in: 0, major_tick_out: 4,
      });
    }
    for (const grid of [...figure.xgrids, ...figure.ygrids]) grid.setv({ grid_line_color: line, grid_line_alpha: 0.7 });
  };

  // Shows a figure and calls `paint` now and whenever the page's colours change.
  codecbench.show = async (figure, place, paint) => {
    codecbench.paint(figure);
    paint();
    place.replaceChildren();
    const view = await Bokeh.Plotting.show(figure, place);
    const entry = { figure, place, view, paint: () => { codecbench.paint(figure); paint(); } };
    const before = drawn.findIndex((other) => other.place === place);
    if (before >= 0) drawn.splice(before, 1);
    drawn.push(entry);
    return entry;
  };

  function draw(chart, place) {
    const figure = codecbench.figure({ x_axis_type: "log", x_range: chart.x, y_range: chart.y });
    const axis = figure.xaxes[0];
    axis.ticker = new Bokeh.FixedTicker({ ticks: chart.ticks, minor_ticks: [] });
    axis.formatter = new Bokeh.NumeralTickFormatter({ format: "0.[00]" });
    axis.axis_label = "measured kbit/s";
    figure.xgrids[0].ticker = axis.ticker;
    figure.yaxes[0].ticker = new Bokeh.BasicTicker({ desired_num_ticks: 6, num_minor_ticks: 0 });
    const series = [];
    for (const line of chart.lines) {
      const style = styles.get(line.name);
      const parts = [];
      const known = (values) => values.map((v) => v ?? NaN);
      const source = new Bokeh.ColumnDataSource({
        data: { kbps: line.kbps, mean: line.mean, low: known(line.low), high: known(line.high) },
      });
      const field = (name) => ({ field: name });
      if (line.kbps.length > 1) {
        parts.push(figure.varea({ x: field("kbps"), y1: field("low"), y2: field("high"), source, fill_alpha: 0.13 }));
        parts.push(figure.line(field("kbps"), field("mean"), { source, line_width: 2, line_dash: style.dash }));
      } else {
        parts.push(figure.segment({ x0: field("kbps"), x1: field("kbps"), y0: field("low"), y1: field("high"), source, line_width: 2, line_alpha: 0.5 }));
      }
      const mark = figure.scatter(field("kbps"), field("mean"), { source, size: 8, marker: style.marker, line_color: null });
      parts.push(mark);
      figure.add_tools(new Bokeh.HoverTool({
        renderers: [mark],
        tooltips: (_, { index: i }) => codecbench.tip([line.point[i], `${line.rate[i]} kbit/s`,
          `mean ${line.score[i]}, 95 %: ${line.interval[i]}`, `${line.n[i]} clips`]),
      }));
      parts.forEach(codecbench.plain);
      series.push({ name: line.name, colour: style.colour, parts });
    }
    const rules = chart.anchors.filter((a) => a.value !== null).map((a) => new Bokeh.Span({
      location: a.value, dimension: "width", line_dash: "dashed", line_width: 1, level: "underlay",
    }));
    for (const rule of rules) figure.add_layout(rule);
    let names = null;
    if (chart.anchors.length) {
      names = new Bokeh.LinearAxis({
        ticker: new Bokeh.FixedTicker({ ticks: chart.anchors.map((a) => a.at) }),
        major_label_overrides: new Map(chart.anchors.map((a) => [a.at, a.label])),
      });
      figure.add_layout(names, "right");
    }
    const paint = () => {
      for (const { colour, parts } of series) {
        const value = css(`--c${colour}`);
        for (const part of parts) {
          if ("fill_color" in part.glyph) part.glyph.fill_color = { value };
          if ("line_color" in part.glyph && !("marker" in part.glyph)) part.glyph.line_color = { value };
        }
      }
      for (const rule of rules) rule.line_color = css("--soft");
      if (names) names.setv({ major_tick_line_color: null, axis_line_color: null });
    };
    const apply = () => {
      for (const { name, parts } of series) for (const part of parts) part.visible = !hidden.has(name);
      for (const rule of rules) rule.visible = anchors;
      if (names) names.visible = anchors;
    };
    apply();
    return codecbench.show(figure, place, paint).then((entry) => Object.assign(entry, { apply, chart, series }));
  }

  const waiting = new Map([...document.querySelectorAll(".chart")].map((box) => [box, charts[box.dataset.chart]]));
  function start(box) {
    const chart = waiting.get(box);
    if (!chart) return Promise.resolve();
    waiting.delete(box);
    return draw(chart, box.querySelector(".plot"));
  }

  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting) {
        near.unobserve(entry.target);
        start(entry.target);
      }
    }
  }, { rootMargin: "300px" });
  for (const box of waiting.keys()) near.observe(box);

  const idle = window.requestIdleCallback || ((work) => setTimeout(work, 50));
  function rest() {
    const next = waiting.keys().next();
    if (!next.done) start(next.value).then(() => idle(rest));
  }
  addEventListener("load", () => idle(rest));

  function update() {
    for (const button of document.querySelectorAll("button[data-curve]")) {
      button.setAttribute("aria-pressed", String(!hidden.has(button.dataset.curve)));
    }
    for (const button of document.querySelectorAll("button[data-anchors]")) button.setAttribute("aria-pressed", String(anchors));
    for (const entry of drawn) if (entry.apply) entry.apply();
  }
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-curve], button[data-anchors], button[data-all]");
    if (!button) return;
    if ("anchors" in button.dataset) anchors = !anchors;
    else if ("all" in button.dataset) {
      anchors = button.dataset.all === "true";
      for (const name of styles.keys()) {
        if (anchors) hidden.delete(name);
        else hidden.add(name);
      }
    } else if (!hidden.delete(button.dataset.curve)) hidden.add(button.dataset.curve);
    update();
  });

  const repaint = () => drawn.forEach((entry) => entry.paint());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);

  // What a canvas shows is not reflowed for paper: a picture of it is printed in its place.
  addEventListener("beforeprint", () => {
    for (const { place, view } of drawn) {
      const picture = new Image();
      picture.className = "print";
      picture.alt = place.getAttribute("aria-label");
      picture.src = view.export("png", false).canvas.toDataURL();
      place.after(picture);
    }
  });
  addEventListener("afterprint", () => document.querySelectorAll("img.print").forEach((picture) => picture.remove()));

  // For tests and for the curious: which curves each chart shows.
  codecbench.curves = () => drawn.filter((e) => e.series).map(({ chart, series }) => ({
    content: chart.content, metric: chart.metric, shown: series.filter((s) => s.parts.every((p) => p.visible)).map((s) => s.name),
  }));
  codecbench.waiting = () => charts.length - drawn.filter((e) => e.series).length;
  codecbench.drawn = (id) => drawn.find((e) => e.chart && e.chart.id === id);
})();
