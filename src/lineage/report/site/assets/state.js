/* What the reader chose: picked runs, columns, filters. Remembered per store, and in the address where it is shared. */

const MOST_PICKED = 8;
const STATE = { picked: [], hidden: [], columns: null, group: false, filter: "", sort: "", theme: "", smooth: 0.6, axis: "step", score: 0.5 };

function stateKey() {
  return "lineage-site " + SITE.store;
}

function readState() {
  try {
    Object.assign(STATE, JSON.parse(localStorage.getItem(stateKey()) || "{}"));
  } catch { /* storage may be forbidden: then nothing is remembered */ }
  STATE.picked = STATE.picked.filter((pick) => pick.split("+").every((id) => RUN_BY_ID.has(id)));
  STATE.hidden = STATE.hidden.filter((id) => RUN_BY_ID.has(id));
}

function saveState() {
  try {
    localStorage.setItem(stateKey(), JSON.stringify(STATE));
  } catch { /* as above */ }
}

/** Return the picked runs, or groups of seeds: {key, label, runs, colour}. */
function pickedItems() {
  return labelItems(STATE.picked.map((key, i) => {
    const runs = key.split("+").map((id) => RUN_BY_ID.get(id));
    return { key, runs, colour: i, first: runs[0] };
  }));
}

/** Add labels that hold what distinguishes the items: the words of their names that not all of them share. */
function labelItems(items) {
  const words = items.map((item) => (item.first.row || item.first.name).split(" "));
  for (const [i, item] of items.entries()) {
    const own = words[i].filter((word) => !/^seed=/.test(word) && (items.length < 2 || !words.every((other) => other.includes(word))));
    const text = own.length ? own.join(" ") : words[i][0];
    item.text = item.first.row && items.some((other) => other !== item && other.first.row === item.first.row && other.first.table !== item.first.table) ? `${item.first.table} ${text}` : text;
    item.label = item.text + (item.runs.length > 1 ? ` (${item.runs.length} seeds)` : item.first.seed == null ? "" : ` seed ${item.first.seed}`);
  }
  return items;
}

function itemLabel(runs) {
  const [first] = runs;
  if (runs.length > 1) return `${first.row || first.name.replace(/\s*seed=\S+/g, "")} (${runs.length} seeds)`;
  return `${first.row || first.name}${first.seed == null || /seed=/.test(first.name) ? "" : " seed " + first.seed}`;
}

function pick(key, on) {
  if (on && !STATE.picked.includes(key)) {
    if (STATE.picked.length >= MOST_PICKED) { toast(`At most ${MOST_PICKED} runs are compared at once`); return false; }
    STATE.picked.push(key);
  } else if (!on) STATE.picked = STATE.picked.filter((other) => other !== key);
  saveState();
  showNavigation();
  return true;
}

/** Return {view, name, query} of the address: #/run/ID?key=value. */
function route() {
  if (SITE.report) return { view: "run", name: SITE.report.run, query: new URLSearchParams() };
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [view, ...rest] = path.split("/");
  return { view: view || "runs", name: decodeURIComponent(rest.join("/")), query: new URLSearchParams(query || "") };
}

function go(view, name, query) {
  location.hash = address(view, name, query);
}

/** Return the address of a view. Views that a report has not are in its site; without a site they have no address. */
function address(view, name, query) {
  if (SITE.report && !SITE.report.site) return null;
  const text = query ? "?" + new URLSearchParams(query) : "";
  return `${SITE.report ? SITE.report.site : ""}#/${view}${name ? "/" + encodeURIComponent(name).replace(/%2F/g, "/") : ""}${text}`;
}

/** Take the picked runs of an address over: #/compare?runs=ID,ID. */
function readPicked(query) {
  const keys = (query.get("runs") || "").replaceAll(" ", "+").split(",").filter(Boolean);
  const valid = keys.filter((key) => key.split("+").every((id) => RUN_BY_ID.has(id))).slice(0, MOST_PICKED);
  if (valid.length) { STATE.picked = valid; saveState(); showNavigation(); }
}

/** Put the picked runs into the address without a new entry in the history, so that it can be passed on. */
function writePicked(view) {
  history.replaceState(null, "", address(view, "", STATE.picked.length ? { runs: STATE.picked.join(",") } : null));
}
