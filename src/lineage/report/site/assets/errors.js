/* Errors of detections: precision over recall, TIDE, LRP, sizes, scores, calibration, confusions. */

const TIDE_NAMES = { class: "wrong class", localisation: "loose box", both: "class and box", duplicate: "dupli\u00adcate", background: "back\u00adground", missed: "missed" };
const SIZE_NAMES = ["<16", "16+", "32+", "64+", "96+", "128+", "256+", "512+"];

/**
 * Return the analysis of a group of seeds: the mean of each curve, number and count over its runs; of the bins of the
 * calibration, all detections together.
 */
function mergeErrors(list) {
  if (list.length === 1) return list[0];
  const [first] = list, mean = (read) => { const values = list.map(read).filter((value) => value != null); return values.length ? average(values) : null; };
  const table = (name) => first[name].map((row, i) => row.map((_, j) => mean((one) => one[name][i][j])));
  const curve = (iou) => first.pr[iou]?.map((_, i) => mean((one) => one.pr[iou]?.[i]));
  const numbers = (name) => Object.fromEntries([...new Set(list.flatMap((one) => Object.keys(one[name])))].map((key) => [key, mean((one) => one[name][key])]));
  const bins = first.calibration.map((_, i) => {
    const full = list.map((one) => one.calibration[i]).filter(Boolean), count = full.reduce((sum, [n]) => sum + n, 0);
    return count ? [count, full.reduce((sum, [n, score]) => sum + n * score, 0) / count, full.reduce((sum, [n, , share]) => sum + n * share, 0) / count] : null;
  });
  return {
    classes: first.classes, pr: { 50: curve("50"), 75: curve("75"), all: curve("all") }, confusion: table("confusion"), tide: numbers("tide"), lrp: numbers("lrp"),
    sizes: table("sizes"), scores: table("scores"), calibration: bins, calibration_error: mean((one) => one.calibration_error),
  };
}

/** Return a count, or the mean of counts over seeds. */
function meanCount(value) {
  return value === 0 ? "" : Number.isInteger(value) || value >= 10 ? fixed(value, 0) : fixed(value, 1);
}

/** Return sections for items that have an analysis: {item, task data}. */
function errorSections(analysed) {
  const colour = (one) => one.item.colour;
  const legend = analysed.length > 1 ? legendOf(analysed.map((one) => [colour(one), one.item.label])) : null;
  const curve = (values) => values.map((value, i) => [i / 100, value / 1000]);
  const square = { x: [0, 1], y: [0, 1] };
  const precision = ["50", "75", "all"].map((iou) => figure(iou === "all" ? "Mean of IoU .50 to .95" : "IoU ." + iou,
    linePlot("precision over recall", analysed.filter((one) => one.data.pr[iou]).map((one) => ({ colour: colour(one), name: one.item.label, points: curve(one.data.pr[iou]) })), { ...square, xTitle: "recall", yTitle: "precision" })));
  const kinds = Object.keys(TIDE_NAMES).filter((kind) => analysed.some((one) => one.data.tide[kind] != null));
  const lrp = { oLRP: "oLRP", oLRP_localisation: "locali\u00adsation", oLRP_false: "false", oLRP_missed: "missed" };
  const bars = (names, read) => analysed.map((one) => ({ colour: colour(one), name: one.item.label, values: names.map((name) => read(one.data, name)) }));
  const seeds = analysed.some((one) => one.count > 1) ? "; means over the seeds of a group." : ".";
  const sizes = SIZE_NAMES.map((_, i) => i).filter((i) => analysed.some((one) => one.data.sizes[i][0] > 0));
  return [
    section("Precision over recall", ["Mean over the classes that have objects", seeds].join(""), legend, h("div", { class: "grid thirds" }, precision)),
    section("What goes wrong", "TIDE: points of AP50 that repairing one kind of error alone would gain. LRP: the least error over score thresholds, and its parts, in percent" + seeds, h("div", { class: "grid" },
      figure("TIDE, dAP50", barPlot("cost of each kind of error", kinds.map((kind) => TIDE_NAMES[kind]), bars(kinds, (data, kind) => data.tide[kind]), { width: 560 }), legend?.cloneNode(true)),
      figure("Optimal LRP, %", barPlot("optimal LRP", Object.values(lrp), bars(Object.keys(lrp), (data, name) => data.lrp[name]), { width: 560, top: 100 }), legend?.cloneNode(true)))),
    section("Sizes, scores and calibration", "Detections matched to objects of their class at IoU .5" + seeds, legend?.cloneNode(true), h("div", { class: "grid thirds" },
      figure("Objects found, by size", barPlot("recall by size", sizes.map((i) => SIZE_NAMES[i]), bars(sizes, (data, i) => data.sizes[i][0] ? data.sizes[i][1] / data.sizes[i][0] : null), { top: 1, xTitle: "√area, pixels" }), null, "recall at any score"),
      figure("Scores", scorePlot(analysed), h("p", { class: "small soft" }, "solid: right, dashed: wrong"), "detections, log scale"),
      figure("Calibration", linePlot("precision over score", [{ colour: 7, dashed: true, points: [[0, 0], [1, 1]], name: "ideal" },
        ...analysed.map((one) => ({ colour: colour(one), name: one.item.label, dots: true, points: one.data.calibration.filter(Boolean).map(([, score, share]) => [score, share]) }))], { ...square, xTitle: "mean score", yTitle: "share that is right" }),
        legendOf(analysed.map((one) => [colour(one), analysed.length > 1 ? `${String.fromCharCode(65 + one.order)}, expected error` : "expected error", fixed(one.data.calibration_error, 1) + " %"]))))),
    section("Confusions", "Rows: the true class; columns: what was predicted with a score of .5 or more. Any class may match at IoU .5" + seeds, h("div", { class: "grid" }, analysed.map((one) => confusionFigure(one)))),
  ];
}

function scorePlot(analysed) {
  const log = (count) => Math.log10(count + 1);
  const top = Math.max(1, ...analysed.flatMap((one) => one.data.scores.flat().map(log)));
  const step = (counts) => counts.flatMap((count, i) => [[i / counts.length, log(count)], [(i + 1) / counts.length, log(count)]]);
  const lines = analysed.flatMap((one) => one.data.scores.map((counts, wrong) => ({ colour: one.item.colour, dashed: wrong === 1, name: `${one.item.label}, ${wrong ? "wrong" : "right"}`, points: step(counts) })));
  const counts = [0, ...[...Array(Math.ceil(top) + 1).keys()].map((i) => 10 ** i)].filter((count) => log(count) <= top);
  return linePlot("scores of detections", lines, { x: [0, 1], y: [0, top], yTicks: counts.map(log), format: (value) => short(Math.round(10 ** value - 1)), xTitle: "score" });
}

const MOST_CONFUSED = 24;

function confusionFigure(one) {
  const { confusion, classes } = one.data, count = classes.length;
  const order = [...Array(count).keys()].sort((a, b) => weight(b) - weight(a)).slice(0, MOST_CONFUSED).sort((a, b) => a - b);
  function weight(i) { return confusion[i].reduce((sum, value) => sum + value, 0); }
  const rows = [...order, count], names = (i, missing) => (i === count ? missing : classes[i]);
  const table = h("table", { class: "matrix", "aria-label": `confusion matrix of ${one.item.label}` },
    h("thead", {}, h("tr", {}, h("td"), rows.map((i) => h("th", { scope: "col" }, h("span", {}, names(i, "missed")))))),
    h("tbody", {}, rows.map((i) => {
      const total = weight(i) || 1;
      return h("tr", {}, h("th", { scope: "row" }, names(i, "background")), rows.map((j) => {
        const value = confusion[i][j], share = value / total;
        return h("td", { class: value === 0 ? "zero" : i === j ? "right" : "wrong", style: { "--w": Math.sqrt(share).toFixed(3) }, title: `${names(i, "background")} as ${names(j, "missed")}: ${meanCount(value) || 0} (${fixed(100 * share, 0)} %)` }, meanCount(value) || (i === count && j === count ? "" : "·"));
      }));
    })));
  const left = count - order.length;
  return figure(one.item.label, h("div", { class: "scroll" }, table), left > 0 ? h("p", { class: "small soft" }, `The ${MOST_CONFUSED} classes with most objects; ${left} are left out.`) : null);
}
