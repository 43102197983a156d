/* View "Runs": a line per run, or per group of seeds. */

function viewRuns(main) {
  if (!SITE.all.length) { replace(main, emptyState("No runs yet", "`make train` makes one, and writes this page again.")); return; }
  const count = h("p", { "aria-live": "polite" }), holder = h("div"), tray = h("div", { class: "traybox" }), problem = h("p", { class: "bad small", role: "alert" });
  const filter = h("input", { type: "search", class: "grow", placeholder: "Filter: model=mask_rcnn seed<3 AP>10 words", "aria-label": "filter runs", value: STATE.filter, spellcheck: "false",
    oninput: () => { STATE.filter = filter.value; saveState(); update(); } });
  const columnMenu = h("span");
  let table, rows = [], columns = [], defaults = [], timer = 0;

  replace(main, h("div", { class: "head" }, h("h1", {}, "Runs"), count),
    h("div", { class: "bar" }, filter,
      segments("rows", [[false, "Runs"], [true, "Seeds together"]], STATE.group, (group) => { STATE.group = group; saveState(); build(); }),
      columnMenu, copyMenu(() => textTable(columns, rows.filter((row) => isPicked(row)).length ? rows.filter(isPicked) : rows))),
    problem, holder, tray);
  build();
  return { key: (event) => { if (event.key === "/") { event.preventDefault(); filter.focus(); } } };

  function build() {
    defaults = defaultColumns(matchingRuns());
    buildTable();
    showMenu();
    update();
  }

  function showMenu() {
    replace(columnMenu, buildColumnMenu(defaults, build));
  }

  function buildTable() {
    columns = chooseColumns(defaults);
    const sort = readSort(columns);
    table = growingTable({ label: "runs", columns: [pickColumn(), ...columns, hideColumn()], sort, firstIsHead: false,
      onsort: (next) => { STATE.sort = (next.down ? "-" : "") + next.name; saveState(); build(); },
      rowProps: (row) => ({ class: isPicked(row) ? "picked" : null }) });
    replace(holder, table.element);
  }

  function matchingRuns() {
    const { test } = parseQuery(STATE.filter), hidden = new Set(STATE.hidden);
    return SITE.all.filter((run) => !hidden.has(run.id) && test(run));
  }

  function update() {
    const matching = matchingRuns(), hidden = new Set(STATE.hidden);
    problem.textContent = parseQuery(STATE.filter).error;
    const names = matching.length && !STATE.columns ? defaultColumns(matching) : defaults;
    if (names.join() !== defaults.join()) { // a filter that is being typed waits for the table alone
      defaults = names;
      buildTable();
      clearTimeout(timer);
      timer = setTimeout(showMenu, 300);
    }
    const sort = readSort(columns), column = columns.find((one) => one.name === sort.name);
    rows = sortRows(STATE.group ? groupRuns(matching) : matching.map((run) => ({ key: run.id, runs: [run] })), column ? column.read : (row) => row.runs[0].id, sort.down);
    table.update(rows);
    const of = matching.length === SITE.all.length ? "" : ` of ${SITE.all.length}`;
    replace(count, STATE.group ? `${plural(rows.length, "group")} of ${plural(matching.length, "run")}${of && `, ${SITE.all.length} in all`}` : `${matching.length}${of} ${SITE.all.length === 1 ? "run" : "runs"}`,
      hidden.size > 0 && [" · ", h("button", { type: "button", class: "plain small", onclick: () => { STATE.hidden = []; saveState(); update(); } }, `show ${hidden.size} hidden`)]);
    showTray();
  }

  function pickColumn() {
    return { name: "pick", title: h("span", { class: "srt" }, "compare"), fixed: true, className: "pick", cell: (row) => {
      const box = h("input", { type: "checkbox", checked: isPicked(row), "aria-label": `compare ${itemLabel(row.runs)}`, onchange: () => {
        if (!pick(row.key, box.checked)) box.checked = false;
        box.closest("tr").classList.toggle("picked", box.checked);
        showTray();
      } });
      return box;
    } };
  }

  function hideColumn() {
    return { name: "hide", title: h("span", { class: "srt" }, "hide"), fixed: true, className: "hide", cell: (row) =>
      h("button", { type: "button", class: "plain", "aria-label": `hide ${itemLabel(row.runs)}`, title: "hide", onclick: () => {
        STATE.hidden.push(...row.runs.map((run) => run.id));
        saveState();
        update();
      } }, "×") };
  }

  function showTray() {
    const items = pickedItems();
    replace(tray, items.length > 0 && h("div", { class: "tray", role: "region", "aria-label": "picked runs" },
      h("div", { class: "chips" }, items.map((item) => pickChip(item, build))),
      h("button", { type: "button", class: "plain", onclick: () => { STATE.picked = []; saveState(); showNavigation(); build(); } }, "Clear"),
      h("button", { type: "button", onclick: () => go("pictures", "", { runs: STATE.picked.join(",") }) }, "Pictures"),
      h("button", { type: "button", class: "main", disabled: items.length < 2, onclick: () => go("compare", "", { runs: STATE.picked.join(",") }) }, items.length < 2 ? "Pick another to compare" : `Compare ${items.length}`)));
  }
}

function isPicked(row) {
  return STATE.picked.includes(row.key);
}

function pickChip(item, onchange) {
  return h("span", { class: `chip c${item.colour}` }, h("i", { class: "dot" }),
    h("a", { href: address("run", item.first.id) }, item.label),
    onchange && h("button", { type: "button", "aria-label": `remove ${item.label}`, onclick: () => { pick(item.key, false); onchange(); } }, "×"));
}

/** Return rows of runs that are seeds of one experiment. */
function groupRuns(runs) {
  const groups = new Map();
  for (const run of runs) {
    const key = run.group < 0 ? run.id : run.group;
    groups.set(key, [...(groups.get(key) || []), run]);
  }
  for (const group of groups.values()) group.sort((a, b) => (a.seed ?? 0) - (b.seed ?? 0));
  return [...groups.values()].map((group) => ({ key: group.map((run) => run.id).join("+"), runs: group }));
}

function readSort(columns) {
  const name = STATE.sort.replace(/^-/, "");
  return columns.some((column) => column.name === name) ? { name, down: STATE.sort.startsWith("-") } : { name: "", down: true };
}

const FEW_RUNS = 200, MOST_FIRST = 3; // runs whose keys are looked at; options and keys that stand before the metrics, the others behind

/**
 * Return the names of columns that are shown of some runs unless the reader chose others: what was swept, then the main
 * numbers; none that is empty for all of these runs.
 */
function defaultColumns(runs) {
  const few = (name) => { const { read } = columnOf(name), first = runs.length && read(runs[0]); return runs.some((run) => read(run) !== first); };
  const options = SITE.choices.filter((name) => !["experiment", "schedule", "model", "dataset"].includes(name) && few(name));
  const metrics = SITE.headline;
  const details = metrics.length === 1 && metrics[0].endsWith("/AP") ? [metrics[0] + "50", metrics[0] + "75"].filter((name) => SITE.metrics.includes(name)) : [];
  const spread = ["model", "dataset", "tier"].filter((name) => few(name));
  const costs = ["cost/gpu_hours", "cost/image_ms"].filter((name) => SITE.costNames.includes(name));
  const swept = SITE.swept.filter((name) => name !== "model").slice(0, 6);
  const differing = [...options, ...(runs.length <= FEW_RUNS ? SITE.keys.filter(few) : [])]; // of a table: what its rows vary
  const first = [differing, options].find((names) => names.length <= MOST_FIRST) || [];
  const varied = [...new Set([...swept, ...first])];
  const names = [...new Set([...varied.slice(0, MOST_FIRST), ...metrics, ...details, ...costs, "seed", ...varied, ...options.slice(0, swept.length ? 2 : 4), ...spread, "status"])];
  return runs.length ? names.filter((name) => runs.some((run) => columnOf(name).read(run) != null)) : names;
}

function chooseColumns(defaults) {
  const names = (STATE.columns || defaults).filter((name) => columnOf(name));
  const name = { name: "name", title: STATE.group ? "group" : "run", read: (row) => row.runs[0].name, text: (row) => itemLabel(row.runs), className: "name", cell: nameCell };
  return [name, ...names.filter((one) => one !== "name").map(makeColumn)];
}

function nameCell(row) {
  const [first] = row.runs, worst = row.runs.flatMap((run) => run.alerts).find(([level]) => level !== "note");
  return [h("a", { href: address("run", first.id) }, row.runs.length > 1 ? itemLabel(row.runs) : first.row || first.name), worst && h("span", { class: worst[0] === "error" ? "bad" : "warn", title: worst[1], role: "img", "aria-label": worst[1] }, " ▲"),
    h("small", {}, row.runs.length > 1 ? [first.table, `seeds ${row.runs.map((run) => run.seed).join(", ")}`].filter(Boolean).join(" · ") : [first.table, date(first.started), first.tail].filter((one) => one && one !== EMPTY).join(" · "))];
}

/** Return a column of the table of runs; numbers over several seeds are means with their standard deviation. */
function makeColumn(name) {
  const column = columnOf(name), isMeasure = column.kind === "metric" || column.kind === "cost";
  const isNumber = isMeasure || SITE.all.some((run) => typeof column.read(run) === "number");
  const base = { name, title: column.title, tip: name, number: isNumber };
  if (!isMeasure) {
    const all = (row) => [...new Set(row.runs.map(column.read).filter((value) => value != null))];
    const text = (row) => { const values = all(row); return values.length ? (name === "seed" && values.length > 3 ? `${values.length} seeds` : values.map((value) => name === "started" ? date(value) : typeof value === "number" ? plain(value) : value).join(", ")) : EMPTY; };
    return { ...base, read: (row) => all(row)[0], text, cell: (row) => name === "status" ? badge(text(row)) : shortenClass(text(row), 40) };
  }
  const decimals = column.kind === "cost" ? null : digitsOf(name), best = Math.max(...SITE.runs.map((run) => column.read(run) ?? -Infinity));
  const print = (value) => decimals == null ? cost(value) : fixed(value, decimals);
  return {
    ...base,
    read: (row) => summarize(row.runs, column).mean,
    text: (row) => { const { mean, sd } = summarize(row.runs, column); return print(mean) + (sd == null || (decimals == null && !isSpread(mean, sd)) ? "" : ` ± ${decimals == null ? costSpread(sd) : fixed(sd, 2)}`); },
    cell: (row) => {
      const { mean, sd } = summarize(row.runs, column);
      const share = column.kind === "metric" && SITE.headline.includes(name) && mean >= 0.05 ? mean / best : 0;
      return h("span", { class: share ? "meter" : null, style: share ? { "--w": share.toFixed(3) } : null }, print(mean), sd != null && (decimals != null || isSpread(mean, sd)) && h("small", {}, " ± ", decimals == null ? costSpread(sd) : fixed(sd, 2)));
    },
  };
}

function plain(value) {
  return Number.isInteger(value) && Math.abs(value) < 1e6 ? String(value) : short(value);
}

function textTable(columns, rows) {
  return { head: columns.map((column) => column.title), body: rows.map((row) => columns.map((column) => column.text(row))) };
}

function buildColumnMenu(defaults, onchange) {
  const chosen = STATE.columns || defaults;
  const groups = [["Swept", SITE.swept], ["Metrics", SITE.metrics], ["Costs", SITE.costNames], ["Options that differ", SITE.choices], ["Keys that differ", SITE.keys], ["Run", FIELDS.filter((name) => name !== "name")]];
  const listed = new Set();
  const element = menu("Columns", h("button", { type: "button", class: "item", onclick: () => { STATE.columns = null; saveState(); onchange(); } }, "Reset"),
    groups.map(([title, names]) => {
      const fresh = names.filter((name) => !listed.has(name) && listed.add(name));
      return fresh.length > 0 && [h("h4", {}, title), fresh.map((name) => h("label", { class: "check" }, h("input", { type: "checkbox", checked: chosen.includes(name), onchange: (event) => {
        const now = STATE.columns || defaults;
        STATE.columns = event.target.checked ? [...now, name] : now.filter((other) => other !== name);
        saveState();
        onchange();
        document.querySelector("details.menu.columns").open = true;
      } }), name))];
    }));
  element.classList.add("columns");
  return element;
}
