/* Small charts as SVG: lines, bars, points with whiskers. They follow the page's colours and print sharply. */

const PLOT = { width: 440, height: 250, left: 46, right: 14, top: 12, bottom: 34 };

function ticks(low, high, count = 4) {
  if (!(high > low)) return [low];
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((one) => one >= rough * 0.999);
  const list = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i += 1) list.push(Number((i * step).toPrecision(12)));
  return list;
}

/** Return {x, y, root, frame}: linear scales and an SVG with axes. */
function frame(title, { x, y, xTitle = "", yTitle = "", format = short, height = PLOT.height, bottom = PLOT.bottom, xTicks, yTicks, tickWidth = 0, width = PLOT.width }) {
  const at = (low, high, start, stop) => (value) => start + ((value - low) / (high - low || 1)) * (stop - start);
  const across = at(x[0], x[1], PLOT.left, width - PLOT.right), up = at(y[0], y[1], height - bottom, PLOT.top);
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title, class: "plot" });
  for (const tick of yTicks || ticks(y[0], y[1])) {
    root.append(svg("line", { class: "gridline", x1: PLOT.left, x2: width - PLOT.right, y1: up(tick), y2: up(tick) }));
    root.append(svg("text", { x: PLOT.left - 7, y: up(tick) + 4, "text-anchor": "end" }, format(tick)));
  }
  for (const [tick, label] of (xTicks || ticks(x[0], x[1], 5).map((one) => [one, short(one)])))
    for (const [i, text] of (tickWidth ? wrapTick(label, tickWidth * (width - PLOT.left - PLOT.right) - 4) : [label]).entries())
      root.append(svg("text", { x: across(tick), y: height - bottom + 16 + 12 * i, "text-anchor": "middle" }, text, svg("title", {}, label)));
  if (xTitle) root.append(svg("text", { class: "axis", x: width - PLOT.right, y: height - 3, "text-anchor": "end" }, xTitle));
  if (yTitle) root.append(svg("text", { class: "axis", x: PLOT.left, y: 9, "text-anchor": "start" }, yTitle));
  return { x: across, y: up, root, width, height };
}

/** Return a box whose chart is drawn at the width of the box, so that its letters have their size; draw(width) returns it. */
function fitted(draw, width = PLOT.width) {
  const box = h("div", { class: "plotbox" }, draw(width));
  let drawn = width;
  new ResizeObserver(() => {
    const wide = Math.round(box.clientWidth);
    if (!wide || wide === drawn) return;
    drawn = wide;
    replace(box, draw(wide));
  }).observe(box);
  return box;
}

/** Return the words of a tick as lines that fit into `wide` pixels; a soft hyphen is where a word may break. */
function wrapTick(text, wide) {
  const lines = [], most = Math.max(4, Math.floor(wide / 6.2)), parts = String(text).split(/( |\u00ad)/);
  for (let i = 0; i < parts.length; i += 2) {
    const isSyllable = parts[i - 1] === "\u00ad", joined = i ? lines.at(-1) + (isSyllable ? "" : " ") + parts[i] : parts[i];
    if (i && joined.length <= most) lines[lines.length - 1] = joined;
    else {
      if (isSyllable) lines[lines.length - 1] += "-";
      lines.push(parts[i]);
    }
  }
  return lines.map((line) => shorten(line, most));
}

/** Return a figure with a title, a chart and a legend. */
function figure(title, chart, legend, sub) {
  return h("figure", { class: "card figure" }, h("figcaption", {}, title, sub && h("small", {}, sub)), chart, legend);
}

function legendOf(items) {
  return h("ul", { class: "legend" }, items.map(([colour, text, value]) =>
    h("li", {}, h("i", { class: "dot c" + (colour % 8) }), text, value != null && h("b", {}, value))));
}

/** Return a chart of lines: {colour, points: [[x, y]], name, dashed}. */
function linePlot(title, lines, options) {
  return fitted((width) => drawLines(title, lines, { ...options, width }));
}

function drawLines(title, lines, options) {
  const chart = frame(title, options);
  for (const line of lines) {
    const path = line.points.map(([x, y], i) => `${i ? "L" : "M"}${chart.x(x).toFixed(1)} ${chart.y(y).toFixed(1)}`).join("");
    chart.root.append(svg("path", { class: `line c${line.colour % 8}${line.dashed ? " dashed" : ""}`, d: path }, svg("title", {}, line.name || "")));
    if (line.dots) for (const [x, y] of line.points) chart.root.append(svg("circle", { class: `point c${line.colour % 8}`, cx: chart.x(x), cy: chart.y(y), r: 2.6 }));
  }
  return chart.root;
}

/** Return bars side by side: groups of values, one per series. names: of groups; series: {colour, name, values}. */
function barPlot(title, names, series, options = {}) {
  return fitted((width) => drawBars(title, names, series, { ...options, width }), options.width);
}

function drawBars(title, names, series, options) {
  const top = Math.max(1e-9, ...series.flatMap((one) => one.values.map((value) => value ?? 0)));
  const slot = 1 / names.length, wide = (slot * 0.78) / series.length;
  const chart = frame(title, { x: [0, 1], y: [0, options.top ?? top * 1.04], xTicks: names.map((name, i) => [(i + 0.5) * slot, name]), tickWidth: slot, ...options });
  series.forEach((one, s) => one.values.forEach((value, i) => {
    if (value == null) return;
    const x = chart.x((i + 0.11) * slot + s * wide), width = Math.max(1, chart.x(wide) - chart.x(0) - 1);
    chart.root.append(svg("rect", { class: "barmark c" + (one.colour % 8), x, y: chart.y(value), width, height: Math.max(0, chart.y(0) - chart.y(value)), rx: 1.5 },
      svg("title", {}, `${one.name}, ${names[i]}: ${(options.format || short)(value)}`)));
  }));
  return chart.root;
}

/** Return horizontal bars from a middle: rows of [name, value, text]; half the width is at least one point of AP. */
function divergingBars(rows, label) {
  const largest = Math.max(1, ...rows.map(([, value]) => Math.abs(value)));
  return h("div", { class: "diverging", role: "list", "aria-label": label }, rows.map(([name, value, text]) =>
    h("div", { role: "listitem" }, h("span", { title: name }, name),
      h("i", { "aria-hidden": "true" }, h("b", { class: value < 0 ? "less" : "more", style: { width: `${(50 * Math.abs(value)) / largest}%` } })),
      h("span", { class: "num " + (value < 0 ? "bad" : value > 0 ? "good" : "") }, text))));
}
