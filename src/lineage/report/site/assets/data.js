/* The data of the site: parts, read when a view needs them, and the runs of the index. */

const PARTS = new Map(); // name -> data
const WAITING = new Map(); // name -> [resolve, reject]

window.lineageSite = {
  fixed,
  part(name, data) {
    PARTS.set(name, data);
    WAITING.get(name)?.[0](data);
  },
};

/** Return a promise of a part: from this page, or from its script beside it. */
function loadPart(name, again = false) {
  if (PARTS.has(name) && !again) return Promise.resolve(PARTS.get(name));
  const block = [...document.querySelectorAll("script[data-part]")].find((one) => one.dataset.part === name);
  if (block) {
    PARTS.set(name, JSON.parse(block.textContent));
    return Promise.resolve(PARTS.get(name));
  }
  if (WAITING.has(name)) return WAITING.get(name)[2];
  let resolve, reject;
  const promise = new Promise((done, failed) => { resolve = done; reject = failed; });
  const script = h("script", { src: partAddress(name) + (again ? "?" + Date.now() : ""), onerror: () => {
    WAITING.delete(name);
    reject(new Error("the site has no part " + name));
  } });
  WAITING.set(name, [(data) => { WAITING.delete(name); script.remove(); resolve(data); }, reject, promise]);
  document.head.append(script);
  return promise;
}

/** Return the address of a part's script; parts.py names the file by the same rule. */
function partAddress(name) {
  const safe = name.replace(/[^A-Za-z0-9_.\-/]/g, "_");
  return "parts/" + safe.split("/").map((part) => part.replace(/^\.+|\.+$/g, "") || "_").join("/") + ".js";
}

let SITE = null; // the index
let RUN_BY_ID = new Map();

/** Read the index: runs get their position, runs in progress join them. */
function openIndex(index) {
  SITE = index;
  SITE.costNames = Object.keys(index.costs);
  SITE.overrideNames = [];
  const blank = { metrics: index.metrics.map(() => null), costs: SITE.costNames.map(() => null), keys: index.keys.map(() => null) };
  const open = index.open.map((run) => ({
    ...blank, tier: run.choices.tier || "", parents: [], alerts: [], setting: -1, isOpen: true,
    model: run.choices.model || "", dataset: run.choices.dataset || "", started: "", seconds: null, ...run,
    choices: index.choices.map((name) => run.choices[name] ?? null), group: -1,
  }));
  SITE.all = [...index.runs, ...open];
  SITE.all.forEach((run, position) => {
    run.position = position;
    run.tail = run.id.slice(-6);
    run.text = [run.name, run.id, run.status, run.tier, run.model, run.dataset, run.table || ""].join(" ").toLowerCase();
  });
  RUN_BY_ID = new Map(SITE.all.map((run) => [run.id, run]));
}

const FIELDS = ["id", "name", "table", "row", "tier", "status", "seed", "steps", "seconds", "model", "dataset", "commit", "started"];

/** Return a value of a run by the name of a field, metric, cost, option or key; undefined if there is no such name. */
function valueOf(run, name) {
  const column = columnOf(name);
  return column ? column.read(run) : undefined;
}

const COLUMNS = new Map();

/** Return {name, title, kind, read} of a column; a short name stands for the first that ends with it: AP, lr. */
function columnOf(name) {
  if (COLUMNS.has(name)) return COLUMNS.get(name);
  const column = findColumn(name);
  COLUMNS.set(name, column);
  return column;
}

function findColumn(name) {
  const lists = [["metric", SITE.metrics, "metrics"], ["cost", SITE.costNames, "costs"], ["option", SITE.choices, "choices"], ["key", SITE.keys, "keys"]];
  if (FIELDS.includes(name)) return { name, title: name, kind: "field", read: (run) => run[name] };
  for (const [kind, names, field] of lists) {
    const i = names.indexOf(name);
    if (i >= 0) return { name, title: titleOf(name, kind), kind, read: (run) => run[field][i] };
  }
  const tails = { metric: "/", cost: "/", key: "." };
  for (const [kind, names, field] of lists) {
    if (!tails[kind]) continue;
    const fitting = names.filter((other) => other.endsWith(tails[kind] + name));
    if (!fitting.length) continue;
    const ordered = kind === "metric" ? fitting.sort((a, b) => rank(a) - rank(b)) : fitting;
    const positions = ordered.map((other) => names.indexOf(other));
    return { name, title: name, kind, read: (run) => run[field][positions.find((i) => run[field][i] != null) ?? positions[0]] };
  }
  return null;
}

function rank(metric) {
  const i = SITE.headline.indexOf(metric);
  return i < 0 ? 99 : i;
}

function titleOf(name, kind) {
  if (kind === "cost") return { "cost/gpu_hours": "device h", "cost/hours": "hours", "cost/step_seconds": "s/step", "cost/image_ms": "ms/image", "cost/images_per_second": "images/s (test)", "cost/memory_gb": "memory GB", "cost/parameters_m": "params M", "cost/gflops": "GFLOPs" }[name] || name;
  if (kind === "metric") return name.replace("/", " ") + (name.endsWith("/PSNR") ? ", dB" : "");
  return kind === "key" ? shortKey(name, SITE.keys) : name;
}

/** Return the decimals that a metric needs, as the commands print it. */
function digitsOf(metric) {
  return /(PSNR|SSIM)$/.test(metric) ? 2 : 1;
}

/** Return whether less of a metric or cost is better. */
function isLower(name) {
  return name.startsWith("cost/") ? name !== "cost/images_per_second" : /\/(oLRP|dAP)/.test(name);
}

/** Return the main metric of some runs. */
function headlineOf(runs) {
  const names = [...SITE.metrics].sort((a, b) => rank(a) - rank(b));
  return names.find((name) => runs.some((run) => valueOf(run, name) != null)) || SITE.metrics[0];
}
