/* Curves over the training: uPlot panels that share their cursor, one smoothing and one axis. */

const AXES = { step: ["steps", "step"], images: ["images", "images"], hours: ["device hours", "device h"] };
const OPEN_PANELS = new Set();

function cssColour(name) {
  const probe = h("span", { style: { color: `var(${name})` } });
  document.body.append(probe);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
}

/** Return the x values of a line on an axis, or null if the factor is unknown. */
function axisValues(curves, line, axis) {
  const steps = curves.steps[line[0]];
  if (axis === "step") return steps;
  const factor = axis === "images" ? curves.images_per_step : curves.step_hours;
  return factor ? steps.map((step) => step * factor) : null;
}

const ONCE = "No metric over time: evaluated once, at the end. schedule.evaluate_every=100 evaluates every 100 steps, too.";

/** Return whether no metric of a test has two points. */
function onceEvaluated(parts) {
  return parts.every(({ lines }) => Object.keys(lines).filter(isScore).every((name) => lines[name][1].length < 2));
}

/** Return whether a line is a main metric; a store without a finished run has no list of them. */
function isScore(name) {
  return SITE.headline.includes(name) || /\/(AP|PQ|mAP|mAP07|PSNR)$/.test(name);
}

/** Return the names of lines by panel. */
function groupLines(names) {
  const meters = ["lr", "images_per_second", "data_wait", "grad_norm"];
  const losses = names.filter((name) => !name.includes("/") && !meters.includes(name));
  const scored = names.filter(isScore);
  const diagnostics = names.filter((name) => name.includes("/") && losses.includes(name.split("/")[0]) && !isScore(name) && !SITE.metrics.includes(name));
  const counts = diagnostics.filter((name) => name.split("/")[1].startsWith("num_"));
  return { scored, losses, shares: diagnostics.filter((name) => !counts.includes(name)), counts, meters: meters.filter((name) => names.includes(name)) };
}

/**
 * Return a panel that draws lines {name, colour, x, y}; raw lines lie pale beneath smoothed ones.
 * smooth: whether the smoothing slider applies; a score of a test is drawn as it is.
 */
function curvePanel(title, lines, { smooth = true, height = 230 } = {}) {
  const readout = h("small", { class: "num readout" }), box = h("div", { class: "uplot-box" });
  const element = figure(title, box, lines.length > 1 || lines[0]?.legend ? legendOf(uniqueLegend(lines)) : null);
  element.querySelector("figcaption").append(readout);
  const panel = { element, draw, remove: () => panel.plot?.destroy() };
  new ResizeObserver(() => { if (box.clientWidth && panel.plot && panel.plot.width !== box.clientWidth) panel.plot.setSize({ width: box.clientWidth, height }); else if (box.clientWidth && !panel.plot) draw(); }).observe(box);
  OPEN_PANELS.add(panel);

  function draw() {
    if (!box.clientWidth) return;
    panel.plot?.destroy();
    const weight = smooth ? STATE.smooth : 0, tables = [], series = [{}];
    for (const line of lines) {
      const colour = cssColour(`--c${line.colour % 8}`), dash = line.dash ? [5, 4] : undefined;
      if (weight) { tables.push([line.x, line.y]); series.push({ stroke: fade(colour), width: 1, points: { show: false }, raw: true }); }
      tables.push([line.x, smoothed(line.y, weight)]);
      series.push({ label: line.name, stroke: colour, width: 1.8, dash, spanGaps: true, points: { show: line.x.length < 2 || (!smooth && line.x.length < 40), size: 5, fill: colour }, line });
    }
    if (!tables.length) return;
    const data = tables.length > 1 ? uPlot.join(tables) : tables[0];
    const axis = { stroke: cssColour("--soft"), grid: { stroke: cssColour("--rule"), width: 1 }, ticks: { show: false }, font: "11.5px system-ui, sans-serif", values: (_, list) => list.map((value) => value == null ? "" : short(value)) };
    panel.plot = new uPlot({
      width: box.clientWidth, height, series, legend: { show: false }, padding: [8, 16, 0, 0],
      cursor: { sync: { key: "lineage" }, points: { size: 6 }, drag: { x: true, y: false } },
      scales: { x: { time: false }, y: { range: (_, low, high) => rangeOf(low, high) } },
      axes: [{ ...axis, size: 24 }, { ...axis, size: 52 }],
      hooks: { setCursor: [(plot) => show(plot)] },
    }, data, box);
    panel.plot.root.setAttribute("aria-hidden", "true");
  }

  function show(plot) {
    const i = plot.cursor.idx;
    if (i == null) { readout.replaceChildren(); return; }
    const parts = plot.series.flatMap((one, s) => {
      if (!one.line) return [];
      const value = nearest(plot.data[s], i);
      return value == null ? [] : [h("span", { class: "c" + (one.line.colour % 8) }, h("i", { class: "dot" }), short(value))];
    });
    replace(readout, `${AXES[STATE.axis][1]} ${short(plot.data[0][i])}`, parts.slice(0, 8));
  }
  return panel;
}

function nearest(values, i) {
  for (let reach = 0; reach < 12; reach += 1) {
    if (values[i - reach] != null) return values[i - reach];
    if (values[i + reach] != null) return values[i + reach];
  }
  return null;
}

function rangeOf(low, high) {
  if (low == null) return [0, 1];
  if (low === high) return [Math.min(0, low), high || 1];
  const room = (high - low) * 0.06;
  return [low >= 0 && low < 0.5 * high ? 0 : low - room, high + room];
}

function uniqueLegend(lines) {
  const unique = new Map();
  for (const line of lines) if (line.legend !== null && !unique.has(line.legend || line.name)) unique.set(line.legend || line.name, line);
  return [...unique].map(([text, line]) => [line.colour, text, line.last ? short(line.y.at(-1)) : null]);
}

function fade(colour) {
  return colour.replace(/^rgb\((.*)\)$/, "rgba($1, 0.22)").replace(/^color\((.*)\)$/, "color($1 / 0.22)");
}

function clearPanels() {
  for (const panel of OPEN_PANELS) panel.remove();
  OPEN_PANELS.clear();
}

function redrawPanels() {
  for (const panel of OPEN_PANELS) panel.draw();
}

/** Return the slider and the axis buttons, which hold for all panels of the page. */
function curveControls(onaxis) {
  const value = h("output", { class: "num" }, STATE.smooth.toFixed(2));
  const slider = h("input", { type: "range", min: 0, max: 0.98, step: 0.02, value: STATE.smooth, "aria-label": "smoothing", oninput: () => {
    STATE.smooth = Number(slider.value);
    value.textContent = STATE.smooth.toFixed(2);
    redrawPanels();
    saveState();
  } });
  return h("div", { class: "bar" }, h("label", {}, "smoothing", slider, value),
    segments("x axis", Object.entries(AXES).map(([name, [text]]) => [name, text]), STATE.axis, (axis) => { STATE.axis = axis; saveState(); onaxis(); }));
}
