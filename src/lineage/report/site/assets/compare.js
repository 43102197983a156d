/* View "Compare": two to eight runs, or groups of seeds, side by side. */

async function viewCompare(main, { query }) {
  readPicked(query);
  const items = pickedItems();
  if (items.length < 2) {
    replace(main, emptyState("Pick two runs or more to compare", "Tick them in Runs; up to eight at once, and groups of seeds count as one."), h("p", { class: "centre" }, h("a", { href: "#/runs" }, "Go to Runs")));
    return;
  }
  writePicked("compare");
  const curves = h("div"), pictures = h("div"), errors = h("div", {}, h("p", { class: "soft" }, "Reading…"));
  replace(main, h("div", { class: "head" }, h("h1", {}, "Compare"), h("div", { class: "chips" }, items.map((item) => pickChip(item, () => viewCompare(main, { query: new URLSearchParams() }))))),
    differencesSection(items), metricsSection(items), curves, pictures, errors,
    section("In the terminal", null, h("pre", {}, items.slice(1).map((item) => `lineage compare ${items[0].first.tail} ${item.first.tail}`).join("\n"))));
  await Promise.all([showCurves(curves, items), showJudgements(pictures, items), showErrors(errors, items)]);
}

const JUDGEMENTS = ["calibration", "explanations"]; // pictures that `lineage calibrate` and `lineage explain` add to runs

/** Show the reliability diagrams and the explanations of the first run of each item, if there are any. */
async function showJudgements(holder, items) {
  const figures = [];
  for (const item of items) {
    let sheets = [];
    try { sheets = (await loadPart("run/" + item.first.id)).sheets || []; } catch { /* a part that is missing costs these pictures */ }
    for (const [name, src] of sheets) if (JUDGEMENTS.includes(name)) figures.push({ name, element: runPicture(name, src, `${item.label} · ${name}`) });
  }
  figures.sort((a, b) => JUDGEMENTS.indexOf(a.name) - JUDGEMENTS.indexOf(b.name));
  if (figures.length) replace(holder, section("Calibration and explanations", null, figures.map((one) => one.element)));
}

async function showCurves(holder, items) {
  const loaded = [];
  for (const item of items) for (const run of item.runs) {
    if (!run.curves) continue;
    try { loaded.push({ item, run, curves: await loadPart("curves/" + run.id) }); } catch { /* a part that is missing costs this curve */ }
  }
  if (!loaded.length) { replace(holder, section("Curves", "None of these runs has its folder here, which would hold metrics.csv.")); return; }
  draw();

  function draw() {
    clearPanels();
    const names = [...new Set(loaded.flatMap((one) => Object.keys(one.curves.lines)))], groups = groupLines(names);
    const order = [...groups.scored, ...groups.losses, ...groups.meters, ...groups.shares];
    const panels = order.map((name) => {
      const lines = loaded.flatMap(({ item, run, curves }) => {
        const line = curves.lines[name], x = line && axisValues(curves, line, STATE.axis);
        return x ? [{ name: `${item.label}`, legend: null, colour: item.colour, x, y: line[1] }] : [];
      });
      return lines.length && { name, panel: curvePanel(titleOf(name, "metric"), lines, { smooth: !groups.scored.includes(name) && name !== "lr" }), points: Math.max(...lines.map((line) => line.x.length)) };
    }).filter((one) => one && (one.points > 1 || !groups.scored.includes(one.name)));
    const absent = loaded.length < items.reduce((sum, item) => sum + item.runs.length, 0);
    const legend = legendOf(items.map((item) => [item.colour, item.label]));
    replace(holder, section("Curves", absent ? "Runs whose folder is not here have none." : null, curveControls(draw), legend, onceEvaluated(loaded.map((one) => one.curves)) && h("p", { class: "small soft" }, ONCE),
      panels.length ? h("div", { class: "grid three" }, panels.map((one) => one.panel.element)) : h("p", { class: "note" }, "No picked run knows this axis: it needs the size of a batch, or the time of a step.")));
  }
}

async function showErrors(holder, items) {
  const tasks = ["box", "mask"].filter((task) => items.some((item) => item.runs.some((run) => run.analysis?.includes(task))));
  if (!tasks.length) { replace(holder, section("Errors", missingReason(items.map((item) => item.first)))); return; }
  const count = (name) => items.filter((item) => item.runs.some((run) => run.analysis?.includes(name))).length;
  let task = tasks.reduce((best, name) => (count(name) >= count(best) ? name : best));
  const analysed = [];
  for (const [order, item] of items.entries()) {
    const parts = [], details = [];
    for (const run of item.runs) {
      try { details.push(await loadPart("run/" + run.id)); if (run.analysis) parts.push(await loadPart("analysis/" + run.id)); } catch { /* as above */ }
    }
    if (parts.length) analysed.push({ item, order, parts, details });
  }
  draw();

  function draw() {
    const fitting = analysed.flatMap((one) => {
      const data = one.parts.map((part) => part.tasks[task]).filter(Boolean);
      return data.length ? [{ ...one, count: data.length, data: mergeErrors(data) }] : [];
    });
    const absent = analysed.length ? items.filter((item) => !fitting.some((one) => one.item === item)) : [];
    replace(holder, perClassSection(fitting, task), errorSections(fitting));
    if (absent.length) holder.querySelector("section").append(h("p", { class: "small soft more" }, `Not shown: ${absent.map((item) => item.label).join(", ")}, whose detected ${task === "box" ? "boxes" : "masks"} are not here.`));
    const head = holder.querySelector("section h2");
    if (tasks.length > 1) head.after(h("div", { class: "bar" }, segments("task", tasks.map((one) => [one, one + "es".slice(one === "box" ? 0 : 1)]), task, (one) => { task = one; draw(); })));
  }
}

function missingReason(runs) {
  const reason = runs.map((run) => run.missing).find(Boolean);
  return reason ? `Not shown: ${reason}.` : "None of these runs has its detections here: they lie in results.json of its run folder.";
}

function perClassSection(analysed, task) {
  if (!analysed.length) return section("Classes", "No picked run has this task.");
  const [first, ...others] = analysed;
  const read = (one, name) => { const values = one.details.map((part) => part.per_class[name]?.[task + "/AP"]).filter((value) => value != null); return values.length ? average(values) : null; };
  const seeds = analysed.some((one) => one.details.length > 1) ? "; means over seeds." : ".";
  const names = first.data.classes.filter((name) => analysed.some((one) => read(one, name) != null));
  if (analysed.length === 1) {
    const rows = names.map((name) => [name, read(first, name) ?? 0]).sort((a, b) => b[1] - a[1]).map(([name, value]) => [name, value, fixed(value)]);
    return section("Classes", `${task} AP of each${seeds}`, h("div", { class: "card" }, divergingBars(rows, "AP by class")));
  }
  return section("Classes", `${task} AP of each class, minus that of A (${first.item.label})${seeds}`, h("div", { class: "grid" }, others.map((one) => {
    const rows = names.filter((name) => read(first, name) != null && read(one, name) != null).map((name) => [name, read(one, name) - read(first, name)]).sort((a, b) => b[1] - a[1]);
    const shown = rows.length > 20 ? [...rows.slice(0, 10), ...rows.slice(-10)] : rows;
    return figure(`${String.fromCharCode(65 + one.order)} − A`, divergingBars(shown.map(([name, value]) => [name, value, signed(value)]), "differences by class"), rows.length > 20 ? h("p", { class: "small soft" }, `The ten largest gains and losses of ${rows.length} classes.`) : null, one.item.label);
  })));
}
