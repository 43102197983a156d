/* The page: navigation, views, keyboard, light and dark. */

const VIEWS = {
  runs: ["Runs", viewRuns], compare: ["Compare", viewCompare], pictures: ["Pictures", viewPictures], tables: ["Tables", viewTables],
  sweep: ["Sweep", viewSweep], lineage: ["Lineage", viewLineage], run: [null, viewRun],
};
const KEYS_OF_VIEWS = { r: "runs", c: "compare", p: "pictures", t: "tables", s: "sweep", l: "lineage" };
let CURRENT = {}; // what the shown view answers to: {key(event)}
let GO_PRESSED = 0;

function showNavigation() {
  if (SITE.report) { showWayToSite(); return; }
  const nav = document.querySelector(".nav"), current = route().view === "run" ? "runs" : route().view;
  replace(nav, Object.entries(VIEWS).filter(([, [title]]) => title).map(([view, [title]]) =>
    h("a", { href: view === "compare" || view === "pictures" ? address(view, "", STATE.picked.length ? { runs: STATE.picked.join(",") } : null) : "#/" + view, "aria-current": view === current ? "page" : null }, title,
      view === "compare" && STATE.picked.length > 0 && h("b", { "aria-label": `${STATE.picked.length} picked` }, STATE.picked.length))));
}

/** A report has one view; the others are in the site of its store, if it was written. */
function showWayToSite() {
  if (SITE.report.site) replace(document.querySelector(".nav"), h("a", { href: address("run", SITE.report.run) }, "this run beside all others"));
}

async function showView() {
  const main = document.querySelector("main"), where = route(), [title, view] = VIEWS[where.view] || VIEWS.runs;
  clearPanels();
  CURRENT = {};
  showNavigation();
  if (title) document.title = `${title} · lineage`;
  main.replaceChildren();
  try {
    CURRENT = (await view(main, where)) || CURRENT;
  } catch (error) {
    replace(main, emptyState("This view cannot be shown", error.message));
    console.error(error);
  }
  main.dataset.ready = where.view + "/" + where.name;
}

function setTheme(theme) {
  STATE.theme = theme;
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  saveState();
  redrawPanels();
}

function themeButton() {
  const next = { "": "dark", dark: "light", light: "" }, icons = { "": "◐", dark: "☾", light: "☀" };
  const button = h("button", { type: "button", class: "plain", onclick: () => { setTheme(next[STATE.theme]); label(); } });
  function label() {
    button.textContent = icons[STATE.theme];
    button.title = { "": "as the system has it", dark: "dark", light: "light" }[STATE.theme];
    button.setAttribute("aria-label", "colours: " + button.title);
  }
  label();
  return button;
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) && event.target.type !== "checkbox") {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (event.key === "?" && !SITE.report) { showHelp(); return; }
  if (event.key === "g") { GO_PRESSED = Date.now(); return; }
  if (!SITE.report && Date.now() - GO_PRESSED < 1200 && KEYS_OF_VIEWS[event.key]) { GO_PRESSED = 0; go(KEYS_OF_VIEWS[event.key]); return; }
  CURRENT.key?.(event);
}

function showHelp() {
  const keys = [["/", "filter the runs"], ["g r", "Runs"], ["g c", "Compare"], ["g p", "Pictures"], ["g t", "Tables"], ["g s", "Sweep"], ["g l", "Lineage"], ["↑ ↓", "picture before, after"], ["← →", "less, more score"], ["+ − 0", "zoom"], ["b m k t", "boxes, masks, keypoints, truth"], ["e", "colour by error"], ["?", "this list"]];
  const dialog = h("dialog", { "aria-label": "keyboard" }, h("h2", {}, "Keyboard"), h("dl", { class: "facts" }, keys.map(([key, text]) => h("div", {}, h("dt", {}, h("kbd", {}, key)), h("dd", {}, text)))), h("form", { method: "dialog" }, h("button", { class: "main" }, "Close")));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

/** Return whether the reader is typing, has a menu or a dialog open, or looks at a picture, which is of a finished run. */
function isBusy() {
  return route().view === "pictures" || /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement?.tagName) || Boolean(document.querySelector("details.menu[open], dialog[open]"));
}

async function refresh() {
  if (isBusy()) return; // the next look takes it over
  try {
    const before = SITE.written, index = await loadPart("index", true);
    if (index.written === before) return;
    for (const name of [...PARTS.keys()]) if (/^(curves|run|table|paper)\//.test(name)) PARTS.delete(name);
    COLUMNS.clear();
    openIndex(index);
    const { scrollY } = window;
    await showView();
    scrollTo(0, scrollY);
  } catch { /* the server has stopped; the page stays as it is */ }
}

async function start() {
  openIndex(await loadPart("index"));
  readState();
  if (STATE.theme) document.documentElement.dataset.theme = STATE.theme;
  const main = h("main", { id: "main", tabindex: -1 }), seconds = Number(document.body.dataset.refresh);
  replace(document.body, [...document.querySelectorAll("body > script")],
    h("a", { class: "skip", href: "#main", onclick: (event) => { event.preventDefault(); main.focus(); } }, "Skip to the content"),
    h("div", { class: "top" }, h("a", { class: "brand", href: address("runs") }, "lineage", h("i", {}, ".")), h("nav", { class: "nav", "aria-label": "views" }), themeButton()),
    main, h("footer", {}, `Written by lineage on ${date(SITE.written)} UTC from ${SITE.store}. ${seconds ? `It looks for new runs every ${seconds} s.` : "This page asks no server."} `, !SITE.report && h("button", { type: "button", class: "plain small", onclick: showHelp }, "Keyboard")));
  for (const [path, reason] of SITE.damaged) document.querySelector("footer").prepend(h("p", { class: "bad" }, `left out: ${path}: ${reason}`));
  addEventListener("hashchange", showView);
  addEventListener("keydown", onKey);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawPanels);
  await showView();
  if (seconds) setInterval(refresh, 1000 * seconds);
}

start().catch((error) => { console.error(error); document.body.append(h("p", { class: "note" }, "This page cannot read its data: " + error.message)); });
