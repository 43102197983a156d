/* View "Run": everything of one run. */

async function viewRun(main, { name }) {
  const run = RUN_BY_ID.get(name) || SITE.all.find((one) => one.tail === name);
  if (!run) { replace(main, emptyState("No such run", `The store has no entry ${name}; it may be superseded by a correction.`), h("p", { class: "centre" }, h("a", { href: "#/runs" }, "Go to Runs"))); return; }
  document.title = `${run.row || run.name} · lineage`;
  if (run.isOpen) return viewOpenRun(main, run);
  const details = await loadPart("run/" + run.id);
  const curves = h("div"), errors = h("div");
  replace(main, runHead(run), run.alerts.map(([level, text]) => h("div", { class: "alert " + level, role: level === "error" ? "alert" : null }, h("b", {}, level === "error" ? "!" : level === "warning" ? "▲" : "i"), text)),
    headline(run, details), metricsTable(run, details), h("div", { class: "runlinks" }, runLinks(run, details)), picturesSection(details), curves, classesSection(details), errors, factsSection(run, details), commandsSection(details), foldsSection(run, details));
  await Promise.all([showRunCurves(curves, run), showRunErrors(errors, run)]);
}

const MOST_OVERRIDES = 6; // more are folded

function runHead(run) {
  const box = h("input", { type: "checkbox", checked: STATE.picked.includes(run.id), onchange: () => { if (!pick(run.id, box.checked)) box.checked = false; } });
  const overrides = run.deviations.join("  "), kind = run.table ? "deviations from the row" : "overrides";
  return h("header", { class: "runhead" }, h("p", { class: "eyebrow num" }, h("a", { href: address("runs") }, "Runs"), " / ", run.id),
    h("div", { class: "head" }, h("h1", {}, run.row || run.model || "run"), badge(run.status), !SITE.report && h("label", { class: "check" }, box, "compare")),
    h("p", { class: "soft" }, [run.table && h("a", { href: address("tables", run.table) }, run.table), run.table && " · ", [`tier ${run.tier}`, run.seed != null && `seed ${run.seed}`, run.dataset && `dataset ${run.dataset}`].filter(Boolean).join(" · ")]),
    run.deviations.length > MOST_OVERRIDES ? h("details", { class: "overrides" }, h("summary", {}, `${run.deviations.length} ${kind}`), h("p", { class: "mono soft" }, overrides)) : overrides && h("p", { class: "mono soft" }, overrides));
}

function headline(run, details) {
  const isExact = run.tier === "paper" && !run.deviations.length;
  if (!details.headline.length) return h("p", { class: "note" }, run.status === "finished" ? "Nothing was measured." : "This run ended before its first evaluation.");
  return h("ul", { class: "headline" }, details.headline.map((name) => {
    const group = SITE.runs.filter((other) => other.group === run.group), { mean, sd, n } = summarize(group, columnOf(name));
    return h("li", {}, h("b", {}, fixed(valueOf(run, name), digitsOf(name))), h("span", {}, titleOf(name, "metric")),
      n > 1 && h("span", {}, `${n} seeds: ${fixed(mean, digitsOf(name))} ± ${fixed(sd, 2)}`), isExact && details.published[name] != null && h("span", {}, `paper ${fixed(details.published[name], digitsOf(name))}`));
  }));
}

/** Return the pictures that the run drew; a click shows one as large as the page. */
function picturesSection(details) {
  if (!details.sheets?.length) return null;
  return section("Pictures", null, details.sheets.map(([name, src]) => runPicture(name, src, name.replaceAll("_", " "))));
}

function runPicture(name, src, caption) {
  const button = h("button", { type: "button", class: "runpicture", "aria-label": `${name}: larger or smaller`, onclick: () => button.classList.toggle("large") }, h("img", { src, alt: `${name} of this run` }));
  return h("figure", { class: "figure" }, h("figcaption", {}, caption), button);
}

/** Return the metrics of each class as a table that sorts by its heads, best first. */
function classesSection(details) {
  const classes = Object.entries(details.per_class || {}).map(([name, values]) => ({ name, values }));
  if (!classes.length) return null;
  const metrics = [...new Set(classes.flatMap((one) => Object.keys(one.values)))], kind = metrics.every((name) => name.startsWith("frame/")) ? "clip" : "class";
  const sort = { name: metrics.find((name) => details.headline.includes(name)) || metrics[0], down: true };
  const columns = [{ name: "class", title: kind, read: (one) => one.name, cell: (one) => one.name }, ...metrics.map((name) => ({ name, title: titleOf(name, "metric"), number: true, read: (one) => one.values[name],
    cell: (one) => details.headline.includes(name) && one.values[name] > 0 ? h("span", { class: "meter", style: { "--w": (one.values[name] / best.get(name)).toFixed(3) } }, fixed(one.values[name], digitsOf(name))) : fixed(one.values[name], digitsOf(name)) }))];
  const best = new Map(metrics.map((name) => [name, Math.max(...classes.map((one) => one.values[name] ?? 0))])), holder = h("div");
  draw();
  return section(kind === "clip" ? "Clips" : "Classes", plural(classes.length, kind).replace("classs", "classes"), holder);

  function draw() {
    const table = growingTable({ label: "metrics of classes", columns, sort, onsort: (other) => { Object.assign(sort, other); draw(); } });
    table.element.classList.add("narrow", "classes");
    table.update(sortRows(classes, columns.find((column) => column.name === sort.name).read, sort.down));
    replace(holder, table.element);
  }
}

function metricsTable(run, details) {
  const values = new Map(SITE.metrics.map((name, i) => [name, run.metrics[i]]).filter(([, value]) => value != null));
  const tasks = [...new Set([...values.keys()].map((name) => name.split("/")[0]))].filter((task) => task !== "cost");
  if (!tasks.length) return null;
  const preferred = ["AP", "AP50", "AP75", "APs", "APm", "APl", "PSNR", "SSIM"], names = [...new Set([...values.keys()].filter((name) => tasks.includes(name.split("/")[0])).map((name) => name.split("/")[1]))];
  const columns = [...preferred.filter((name) => names.includes(name)), ...names.filter((name) => !preferred.includes(name))];
  const line = (label, read, kind) => h("tr", { class: kind }, h("th", { scope: "row" }, label), columns.map((name) => h("td", { class: "n" }, fixed(read(name), digitsOf(name)))));
  const hasPaper = (task) => columns.some((name) => details.published[`${task}/${name}`] != null);
  return h("div", { class: "wide narrow" }, h("table", { "aria-label": "metrics" }, h("thead", {}, h("tr", {}, h("th"), columns.map((name) => h("th", { class: "n", scope: "col" }, name)))),
    h("tbody", {}, tasks.flatMap((task) => [line(task, (name) => values.get(`${task}/${name}`)), hasPaper(task) && line(run.tier === "paper" ? "paper" : "paper, at full size", (name) => details.published[`${task}/${name}`], "sub")].filter(Boolean)))));
}

function runLinks(run, details) {
  const siblings = SITE.runs.filter((other) => other.group === run.group && other !== run);
  const children = SITE.runs.filter((other) => other.parents.includes(run.id));
  const list = (runs) => runs.map((other, i) => [i > 0 && ", ", other ? h("a", { href: address("run", other.id) }, `${other.row || other.name}${other.seed != null ? ` seed ${other.seed}` : ""}`) : "unknown"]);
  const rows = [
    siblings.length > 0 && ["other seeds", list(siblings)],
    run.parents.length > 0 && ["built on", run.parents.map((id, i) => [i > 0 && ", ", RUN_BY_ID.has(id) ? list([RUN_BY_ID.get(id)]) : h("span", { class: "mono" }, id)])],
    children.length > 0 && ["used by", list(children)],
    (run.parents.length > 0 || children.length > 0) && ["provenance", h("a", { href: address("lineage", run.id) }, "its place in the graph of entries")],
    run.test && ["test images", h("a", { href: address("pictures", "", { runs: run.id }) }, "its detections beside the objects")],
    ["entry", h("span", { class: "mono" }, breakable(details.entry))],
    details.folder && ["folder", [h("span", { class: "mono" }, breakable(details.folder)), !details.has_folder && h("span", { class: "soft" }, " (not here)")]],
    details.dashboard && ["dashboard", webLink(details.dashboard)],
  ].filter(Boolean);
  return h("dl", { class: "facts" }, rows.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

async function showRunCurves(holder, run) {
  if (!run.curves) { replace(holder, section("Training", "Its folder is not here, which would hold the curves (metrics.csv).")); return; }
  const curves = await loadPart("curves/" + run.id);
  if (!Object.keys(curves.lines).length || (run.status === "finished" && !run.steps)) return; // it only tested weights
  draw();

  function draw() {
    clearPanels();
    const groups = groupLines(Object.keys(curves.lines)), titles = { scored: "Metrics over time", losses: "Losses", shares: "Accuracies and error rates", counts: "Samples per image" };
    const lineOf = (name, i) => { const line = curves.lines[name], x = axisValues(curves, line, STATE.axis); return x && { name, legend: name, colour: i, x, y: line[1], last: true }; };
    const sets = [...["scored", "losses", "shares", "counts"].map((group) => [titles[group], groups[group], group !== "scored"]), ...groups.meters.map((name) => [{ lr: "Learning rate", images_per_second: "Images per second", data_wait: "Share of time waiting for images", grad_norm: "Gradient norm" }[name], [name], name !== "lr"])];
    const panels = sets.map(([title, names, smooth]) => ({ title, smooth, lines: names.map(lineOf).filter(Boolean) })).filter(({ title, lines }) => lines.length && (title !== "Metrics over time" || lines.some((line) => line.x.length > 1)));
    replace(holder, section("Training", null, curveControls(draw), onceEvaluated([curves]) && h("p", { class: "small soft" }, ONCE), panels.length ? h("div", { class: "grid" }, panels.map(({ title, lines, smooth }) => curvePanel(title, lines, { smooth }).element)) : h("p", { class: "note" }, "This run does not know that axis.")));
  }
}

async function showRunErrors(holder, run) {
  if (!run.analysis) { if (run.missing) replace(holder, section("Errors", `Not shown: ${run.missing}.`)); return; }
  const [part, details] = await Promise.all([loadPart("analysis/" + run.id), loadPart("run/" + run.id)]);
  const task = run.analysis.at(-1), one = { item: { label: task === "box" ? "boxes" : "masks", colour: 0, first: run, runs: [run] }, order: 0, count: 1, details: [details], data: part.tasks[task] };
  replace(holder, errorSections([one]));
}

function factsSection(run, details) {
  const hardware = Object.entries(details.hardware || {}).filter(([, value]) => typeof value !== "object");
  const values = [["time", duration(details.seconds)], ["steps", (details.steps || 0).toLocaleString("en")], ["training", details.images_per_second && `${fixed(details.images_per_second)} images/s`], ["step", details.step_seconds && `${short(details.step_seconds)} s`],
    ["test", details.image_ms && `${short(details.image_ms)} ms per image`], ["memory", details.peak_memory && bytes(details.peak_memory) + " at most"], ["parameters", details.parameters && details.parameters.toLocaleString("en")], ["multiply-adds", details.macs && short(details.macs) + " per image"],
    ["processes", details.processes], ["started", date(run.started)], ["host", details.host], ["commit", details.commit && details.commit.slice(0, 12) + (details.dirty ? ", with local changes" : "")], ["note", details.note], ...hardware].filter(([, value]) => value != null && value !== "" && value !== false);
  return section("Machine and time", null, h("dl", { class: "facts two" }, values.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, String(value))))));
}

function commandsSection(details) {
  return section("Again", null, h("div", { class: "commands" }, details.commands.map((command) => h("div", {}, h("pre", {}, command), h("button", { type: "button", "aria-label": "copy the command", onclick: () => copyText(command, "the command") }, "Copy")))));
}

function foldsSection(run, details) {
  const fold = (title, text) => text && h("details", { class: "fold" }, h("summary", {}, title), h("pre", {}, text));
  return section("In full", null, fold("Options", details.options.map(([group, option]) => `${group}=${option}`).join("\n")), fold("Config", details.config.map(([key, value]) => `${key}=${value}`).join("\n")), Object.entries(details.logs).map(([name, text]) => fold(name, text)),
    fold("Files of the run folder", details.files.map(([name, size]) => `${name}  ${bytes(size)}`).join("\n")), fold("Packages", Object.entries(details.packages || {}).map(([name, version]) => `${name} ${version}`).join("\n")),
    fold("Local changes", details.diff), fold("Digests", ["config_digest", "training_digest", "cell_digest", "evaluation_digest", "initial_weights_sha256", "trained_weights_sha256"].map((name) => `${name}  ${details[name] || "-"}`).join("\n")));
}

async function viewOpenRun(main, run) {
  const holder = h("div");
  replace(main, runHead(run), h("p", { class: "note" }, run.status === "running" ? `In progress: step ${run.steps.toLocaleString("en")}. Its entry is written at its end.` : `It stopped at step ${run.steps.toLocaleString("en")} without an entry; resume=${run.folder} goes on.`), holder);
  if (run.curves) await showRunCurves(holder, run);
}
