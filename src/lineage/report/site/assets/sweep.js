/* View "Sweep": what each key changes: parallel coordinates, one factor at a time, and the share of variance. */

function viewSweep(main) {
  const finished = SITE.runs.filter((run) => run.status === "finished");
  const metrics = SITE.metrics.filter((name) => SITE.headline.includes(name)), factors = listFactors(finished);
  if (finished.length < 2 || !factors.length || !metrics.length) { replace(main, emptyState("Nothing was swept", "Runs that differ in a key or an option appear here: python train.py -m optimizer.lr=0.01,0.02 seed=0,1,2")); return; }
  const chosen = { metric: "", setting: "", filter: "" };
  const tests = [...new Set(finished.map((run) => run.setting))].map((setting) => [String(setting), `${nameTest(finished.filter((run) => run.setting === setting), finished)} (${plural(finished.filter((run) => run.setting === setting).length, "run")})`]).sort((a, b) => finished.filter((run) => String(run.setting) === b[0]).length - finished.filter((run) => String(run.setting) === a[0]).length);
  chosen.setting = tests[0][0];
  const countRuns = (name) => finished.filter((run) => String(run.setting) === chosen.setting && valueOf(run, name) != null).length;
  chosen.metric = metrics.reduce((best, name) => (countRuns(name) > countRuns(best) ? name : best));
  const body = h("div"), count = h("p", { "aria-live": "polite" });
  const filter = h("input", { type: "search", class: "grow", placeholder: "Filter: model=mask_rcnn table=mask_rcnn/table2c", "aria-label": "filter runs", oninput: () => { chosen.filter = filter.value; draw(); } });
  replace(main, h("div", { class: "head" }, h("h1", {}, "Sweep"), count), h("div", { class: "bar" }, filter, select("metric", metrics.map((name) => [name, name]), chosen.metric, (metric) => { chosen.metric = metric; draw(); }),
    tests.length > 1 && select("test", tests, chosen.setting, (setting) => { chosen.setting = setting; draw(); })), body);
  draw();
  return { key: (event) => { if (event.key === "/") { event.preventDefault(); filter.focus(); } } };

  function draw() {
    const column = columnOf(chosen.metric), { test } = parseQuery(chosen.filter);
    const runs = finished.filter((run) => String(run.setting) === chosen.setting && column.read(run) != null && test(run)), list = listFactors(runs);
    replace(count, `${plural(runs.length, "run")} of one test with ${chosen.metric}`);
    if (runs.length < 2 || !list.length) { replace(body, emptyState("Nothing varies among these runs", "Another test or filter may show more.")); return; }
    const shares = list.map((name) => ({ name, ...explainVariance(runs, columnOf(name), column) })).sort((a, b) => b.share - a.share);
    const groups = groupRuns(runs).map((row) => ({ ...row, ...summarize(row.runs, column) }));
    replace(body,
      section("Parallel coordinates", `A line per run, coloured by ${chosen.metric}. Drag along an axis to keep a range; a click on a line opens its run.`, parallelPlot(runs, shares.slice(0, 7).map((one) => one.name).reverse(), column)),
      section("What matters", `Share of the variance of ${chosen.metric} that each key explains by itself (η²: between its values over all; a key that varies with another has its share too).`,
        h("div", { class: "card" }, h("div", { class: "shares", role: "list" }, shares.slice(0, 12).map((one) => h("div", { role: "listitem" }, h("span", { class: "mono", title: one.name }, titleOf(one.name, columnOf(one.name).kind)), h("i", { "aria-hidden": "true" }, h("b", { style: { width: `${100 * one.share}%` } })), h("span", { class: "num" }, `${fixed(100 * one.share, 0)} %`), h("span", { class: "soft small" }, plural(one.levels, "value"))))))),
      section("One factor at a time", "Mean over seeds with its standard deviation; runs that agree in everything else are joined by a line.", h("div", { class: "grid three" }, shares.slice(0, 9).map((one) => factorPlot(groups, one.name, list, column)))));
  }
}

/** Return the dataset and the tier of runs with one test, with its digest where other tests have the same two. */
function nameTest(runs, all) {
  const name = (run) => `${run.dataset}, ${run.tier}`, [first] = runs;
  return name(first) + (all.some((run) => run.setting !== first.setting && name(run) === name(first)) ? " " + SITE.settings[first.setting].split(" ").at(-1) : "");
}

/** Return the options and keys that vary between runs, without those that vary exactly as an earlier one does. */
function listFactors(runs) {
  const names = [...new Set([...SITE.swept, ...SITE.choices, ...SITE.keys])], patterns = new Set();
  return names.filter((name) => {
    const column = columnOf(name);
    if (name === "experiment") return false;
    const values = runs.map((run) => column.read(run) ?? null), levels = [...new Set(values)];
    const pattern = values.map((value) => levels.indexOf(value)).join();
    if (levels.length < 2 || patterns.has(pattern)) return false;
    patterns.add(pattern);
    return true;
  });
}

function explainVariance(runs, factor, metric) {
  const values = runs.map(metric.read), mean = average(values), levels = new Map();
  for (const run of runs) levels.set(factor.read(run) ?? null, [...(levels.get(factor.read(run) ?? null) || []), metric.read(run)]);
  const total = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const between = [...levels.values()].reduce((sum, list) => sum + list.length * (average(list) - mean) ** 2, 0);
  return { share: total ? between / total : 0, levels: levels.size };
}

/** Return a scale of an axis: numbers linear or, over more than a factor of 20, logarithmic; anything else by name. */
function axisScale(values, low, high) {
  const known = values.filter((value) => value != null), areNumbers = known.length && known.every((value) => typeof value === "number");
  if (!areNumbers) {
    const names = [...new Set(values.map((value) => value ?? EMPTY))].sort((a, b) => String(a).localeCompare(String(b), "en", { numeric: true }));
    const at = (value) => low + ((names.indexOf(value ?? EMPTY) + 0.5) / names.length) * (high - low), texts = nameClasses(names.map(String));
    return { at, ticks: names.map((name, i) => [at(name), texts[i]]) };
  }
  const least = Math.min(...known), most = Math.max(...known), isLog = least > 0 && most / least > 20, f = isLog ? Math.log : (x) => x;
  const isAbsent = known.length < values.length, start = isAbsent ? low + 0.18 * (high - low) : low; // runs without the key have a place of their own
  const at = (value) => value == null ? low : start + ((f(value) - f(least)) / (f(most) - f(least) || 1)) * (high - start);
  const levels = [...new Set(known)].sort((a, b) => a - b);
  const marks = levels.length <= 7 ? levels : isLog ? [least, Math.sqrt(least * most), most] : [least, ...ticks(least, most, 4).filter((tick) => tick > least + 0.07 * (most - least) && tick < most - 0.07 * (most - least)), most];
  return { at, ticks: [...(isAbsent ? [[low, EMPTY]] : []), ...marks.map((value) => [at(value), Number.isInteger(value) ? short(value) : short(Number(value.toPrecision(3)))])] };
}

/** Return the last parts of dotted names of classes, if these differ: MaskHead of lineage.models.mask.MaskHead. */
function nameClasses(names) {
  const tails = names.map((name) => (/^[a-z_]\w*(\.\w+)+$/.test(name) ? name.split(".").at(-1) : name));
  return new Set(tails).size === names.length ? tails : names;
}

function parallelPlot(runs, factors, metric) {
  const names = [...factors, metric.name];
  return h("div", { class: "card scroll" }, fitted((wide) => drawParallel(runs, names, metric, Math.max(wide, 120 * names.length)), 1180));
}

function drawParallel(runs, names, metric, width) {
  const height = 360, top = 34, bottom = 14, right = 60, lengths = axisScale(runs.map(columnOf(names[0]).read), 0, 1).ticks.map(([, text]) => shorten(text, 16).length);
  const left = Math.max(86, 16 + 7 * Math.max(...lengths)); // the names of the first axis stand before it
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "plot parallel", role: "img", "aria-label": `parallel coordinates of ${names.join(", ")}`, style: { "min-width": `${width}px` } });
  const x = (i) => left + (i / (names.length - 1)) * (width - left - right), values = runs.map(metric.read), low = Math.min(...values), high = Math.max(...values);
  const axes = names.map((name, i) => ({ name, x: x(i), ...axisScale(runs.map(columnOf(name).read), height - bottom, top), range: null }));
  const lines = runs.map((run) => {
    const share = (metric.read(run) - low) / (high - low || 1);
    const path = axes.map((axis, i) => { const y = axis.at(columnOf(axis.name).read(run)); return i ? `C${(axes[i - 1].x + axis.x) / 2} ${axes[i - 1].y},${(axes[i - 1].x + axis.x) / 2} ${(axis.y = y)},${axis.x} ${y}` : `M${axis.x} ${(axis.y = y)}`; }).join("");
    const line = svg("path", { class: "strand", d: path, style: { "--v": share.toFixed(3) }, onclick: () => go("run", run.id) }, svg("title", {}, `${run.name}, seed ${run.seed}: ${metric.name} ${fixed(metric.read(run))}`));
    return { run, line, ys: axes.map((axis) => axis.y) };
  });
  root.append(...lines.map((one) => one.line));
  for (const [i, axis] of axes.entries()) {
    const brush = svg("rect", { class: "brush", x: axis.x - 11, width: 22, y: 0, height: 0 });
    const area = svg("rect", { class: "brusharea", x: axis.x - 14, width: 28, y: top, height: height - top - bottom });
    let start = null;
    const position = (event) => { const box = root.getBoundingClientRect(); return Math.min(height - bottom, Math.max(top, ((event.clientY - box.top) * height) / box.height)); };
    area.addEventListener("pointerdown", (event) => { start = position(event); area.setPointerCapture(event.pointerId); });
    area.addEventListener("pointermove", (event) => { if (start == null) return; const now = position(event); setRange([Math.min(start, now), Math.max(start, now)]); });
    area.addEventListener("pointerup", (event) => { if (start != null && Math.abs(position(event) - start) < 4) setRange(null); start = null; });
    function setRange(range) {
      axis.range = range;
      brush.setAttribute("y", range ? range[0] : 0);
      brush.setAttribute("height", range ? range[1] - range[0] : 0);
      for (const one of lines) one.line.classList.toggle("off", axes.some((other, j) => other.range && (one.ys[j] < other.range[0] - 1 || one.ys[j] > other.range[1] + 1)));
    }
    const texts = shortenDistinct(axis.ticks.map(([, text]) => text), 16);
    root.append(svg("line", { class: "axisline", x1: axis.x, x2: axis.x, y1: top, y2: height - bottom }), brush, svg("text", { class: "axisname", x: axis.x, y: 15, "text-anchor": "middle" }, shorten(titleOf(axis.name, columnOf(axis.name).kind), 22), svg("title", {}, axis.name)),
      ...axis.ticks.slice(0, 14).map(([y, text], t) => svg("text", { class: "halo", x: axis.x + (i === names.length - 1 ? 8 : -8), y: y + 4, "text-anchor": i === names.length - 1 ? "start" : "end" }, texts[t], svg("title", {}, text))), area);
  }
  return root;
}

function factorPlot(groups, name, factors, metric) {
  const column = columnOf(name);
  return figure(titleOf(name, column.kind), fitted((width) => drawFactor(groups, name, factors, metric, width)), null, name === titleOf(name, column.kind) ? null : name);
}

function drawFactor(groups, name, factors, metric, width) {
  const column = columnOf(name), end = width - PLOT.right - 16, place = (start) => axisScale(groups.map((group) => column.read(group.runs[0])), start, end);
  let scale = place(PLOT.left + 16);
  const low = Math.min(...groups.map((group) => group.mean - (group.sd || 0))), high = Math.max(...groups.map((group) => group.mean + (group.sd || 0))), room = (high - low || 1) * 0.1;
  let ticks = scale.ticks.slice(0, 12);
  const texts = shortenDistinct(ticks.map(([, text]) => text), 16), longest = Math.max(...texts.map((text) => text.length));
  const isSlanted = longest * 6.6 > (width - PLOT.left - PLOT.right - 32) / ticks.length, more = isSlanted ? Math.round(4.6 * longest) : 0; // names that do not fit beside one another
  if (isSlanted) { // the first names begin left of the chart: all points move to the right
    scale = place(PLOT.left + 16 + Math.max(0, ...ticks.map(([x], i) => (4.9 * texts[i].length + 6 - x) * ((end - PLOT.left - 16) / Math.max(1, end - x)))));
    ticks = scale.ticks.slice(0, 12);
  }
  const height = PLOT.height + more, chart = frame(`${metric.name} over ${name}`, { x: [0, 1], y: [low - room, high + room], xTicks: [], yTitle: metric.name, width, height, bottom: PLOT.bottom + more });
  for (const [i, [x, text]] of ticks.entries()) {
    const y = height - PLOT.bottom - more + 16, props = isSlanted ? { "text-anchor": "end", transform: `rotate(-48 ${x} ${y})` } : { "text-anchor": "middle" };
    chart.root.append(svg("text", { class: "tick", x, y, ...props }, texts[i], svg("title", {}, text)));
  }
  const rest = new Map(), others = factors.filter((other) => other !== name).map(columnOf);
  for (const group of groups) {
    const key = JSON.stringify(others.map((other) => other.read(group.runs[0]) ?? null));
    rest.set(key, [...(rest.get(key) || []), { x: scale.at(column.read(group.runs[0])), group }]);
  }
  [...rest.values()].forEach((points, i) => {
    points.sort((a, b) => a.x - b.x);
    const colour = "c" + (i % 8);
    if (points.length > 1) chart.root.append(svg("path", { class: `line thin ${colour}`, d: points.map(({ x, group }, j) => `${j ? "L" : "M"}${x} ${chart.y(group.mean)}`).join("") }));
    for (const { x, group } of points) {
      if (group.sd != null) chart.root.append(svg("line", { class: `whisker ${colour}`, x1: x, x2: x, y1: chart.y(group.mean - group.sd), y2: chart.y(group.mean + group.sd) }));
      chart.root.append(svg("a", { href: address("run", group.runs[0].id) }, svg("circle", { class: `point ${colour}`, cx: x, cy: chart.y(group.mean), r: 4 }, svg("title", {}, `${itemLabel(group.runs)}: ${fixed(group.mean)}${group.sd == null ? "" : ` ± ${fixed(group.sd, 2)}`}, n ${group.n}`))));
    }
  });
  return chart.root;
}
