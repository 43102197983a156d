/* View "Tables": each table as the paper has it, with verdicts; the page of each paper. */

async function viewTables(main, { name, query }) {
  if (name.startsWith("paper/")) return viewPaper(main, name.slice(6));
  if (name) return viewTable(main, name);
  const words = [...new Set(SITE.tables.flatMap((table) => Object.keys(table.words)))].sort();
  const papers = [...new Map(SITE.tables.map((table) => [table.name.split("/")[0], table.paper]))];
  const chosen = { text: "", word: query.get("verdict") || "", withRuns: SITE.tables.some((table) => table.runs) };
  const count = h("p", { "aria-live": "polite" }), list = h("div", { class: "tablelist" });
  const filter = h("input", { type: "search", class: "grow", placeholder: "Find a table", "aria-label": "find a table", oninput: () => { chosen.text = filter.value.toLowerCase(); draw(); } });
  const runsOnly = h("input", { type: "checkbox", checked: chosen.withRuns, onchange: () => { chosen.withRuns = runsOnly.checked; draw(); } });
  replace(main, h("div", { class: "head" }, h("h1", {}, "Tables"), count),
    h("div", { class: "bar" }, filter, select("verdict", [["", "every verdict"], ...words.map((word) => [word, word])], chosen.word, (word) => { chosen.word = word; draw(); }), h("label", {}, runsOnly, "with runs only")), list);
  draw();
  return { key: (event) => { if (event.key === "/") { event.preventDefault(); filter.focus(); } } };

  function draw() {
    const fits = (table) => (!chosen.withRuns || table.runs) && (!chosen.word || table.words[chosen.word]) && `${table.name} ${table.paper} ${table.label} ${table.message}`.toLowerCase().includes(chosen.text);
    const tables = SITE.tables.filter(fits);
    replace(count, `${tables.length} of ${SITE.tables.length} tables`);
    const order = new Map(SITE.papers.map((paper, i) => [paper.name, i]));
    const groups = papers.map(([folder, title]) => ({ folder, title, tables: tables.filter((table) => table.name.startsWith(folder + "/")) })).filter((group) => group.tables.length).sort((a, b) => (order.get(a.folder) ?? 99) - (order.get(b.folder) ?? 99));
    replace(list, groups.length ? groups.map((group) => h("section", {}, h("h2", {}, group.title, " ", h("a", { class: "small", href: address("tables", "paper/" + group.folder) }, "what it claims, and what holds here")),
      h("div", { class: "cards" }, group.tables.map(tableCard)))) : emptyState("No table fits", "Fewer conditions show more."));
  }
}

function tableCard(table) {
  return h("a", { class: "card tablecard", href: address("tables", table.name) }, h("span", { class: "soft small" }, `${table.label} · ${plural(table.rows, "row")}${table.runs ? ` · ${plural(table.runs, "run")}` : ""}`), h("b", {}, table.message),
    h("span", { class: "words" }, Object.entries(table.words).sort((a, b) => b[1] - a[1]).slice(0, 5).map(([word, count]) => verdictBadge(word, count))));
}

function verdictBadge(word, count) {
  return h("span", { class: "badge " + word.split(" at ")[0].replace(/[^\w]+/g, "-") }, word, count > 1 && h("span", { class: "num" }, " " + count));
}

async function viewTable(main, name) {
  if (!SITE.tables.some((table) => table.name === name)) { replace(main, emptyState("No such table", `There is no table ${name} here.`), h("p", { class: "centre" }, h("a", { href: "#/tables" }, "Go to Tables"))); return; }
  const table = await loadPart("table/" + name), folder = name.split("/")[0];
  const ordered = [...table.blocks].sort((a, b) => isClaims(b) - isClaims(a));
  replace(main, h("p", { class: "eyebrow" }, h("a", { href: "#/tables" }, "Tables"), " / ", h("a", { href: address("tables", "paper/" + folder) }, folder), " / ", name.split("/")[1]),
    h("h1", {}, table.message), h("p", { class: "soft" }, table.title, table.arxiv && [" · ", arxivLink("arXiv:" + table.arxiv)]),
    ordered.map((block) => h("section", { "aria-label": block.title }, blockHead(block.title), h("div", { class: "beside" }, block.sections.map((one) => tableSection(one, table))))),
    table.notes.length > 0 && h("section", {}, h("h2", {}, "Notes"), h("ul", { class: "notes" }, table.notes.map((note) => h("li", {}, note)))), h("p", { class: "soft small" }, table.source),
    h("pre", {}, `lineage table ${name}\nlineage run ${name} --tier mini --plan`));
}

/** Return the head of a block; a long list of deviations after its tier is set small. */
function blockHead(title) {
  const [, tier, rest] = /^(Tier \S+) (.{40,})$/.exec(title) || [null, title, ""];
  return rest ? [h("h2", {}, tier), h("p", { class: "sub mono" }, rest)] : h("h2", {}, tier);
}

function isClaims(block) {
  return Number(block.sections.some((one) => one.kind === "claims"));
}

/** Return a section as the commands print it; the first cell of a line leads to its runs. */
function tableSection(one, table) {
  const numbers = one.head.map((_, i) => one.body.some((line) => line[i]?.[1].includes("n")));
  return h("div", { class: "wide tablewrap" }, h("table", { class: "kind-" + one.kind }, h("caption", {}, one.title), h("thead", {}, h("tr", {}, one.head.map((title, i) => h("th", { scope: "col", class: numbers[i] ? "n" : null }, title)))),
    h("tbody", {}, one.body.map((line, row) => h("tr", {}, line.map(([text, flags, word], i) => {
      if (i === 0) return h("th", { scope: "row" }, runsLink(text, one.runs[row], one, table, row));
      if (flags.includes("v") && text !== "-") return h("td", { "data-head": "" }, verdictBadge(text, 1));
      const content = flags.includes("b") ? h("b", {}, text) : text;
      return h("td", { class: [numbers[i] && "n", text === "-" && "faint", one.head[i] === "remark" && "remark"].filter(Boolean).join(" "), "data-head": ["metric", "tier", "remark"].includes(one.head[i]) ? null : one.head[i] }, i === 1 && one.kind === "metric" && text !== "-" ? runsLink(content, one.runs[row], one, table, row) : content);
    }))))));
}

function runsLink(text, ids, one, table, row) {
  const runs = (ids || []).filter((id) => RUN_BY_ID.has(id));
  if (!runs.length) return text;
  if (one.kind === "claims") {
    const rows = [...new Set(runs.map((id) => RUN_BY_ID.get(id).row))];
    return h("a", { title: "compare the two rows", href: address("compare", "", { runs: rows.map((name) => runs.filter((id) => RUN_BY_ID.get(id).row === name).join("+")).join(",") }) }, text);
  }
  return h("a", { href: address("lineage", runs.join("+")), title: `${plural(runs.length, "run")} behind this` }, text);
}

async function viewPaper(main, name) {
  const elements = await loadPart("paper/" + name);
  const mark = { "shown at tier paper": "shown", "shown at a small tier": "shown", contradicted: "contradicted" };
  const draw = (one) => {
    if (one.heading) return h("h" + one.level, { class: "paperhead" }, one.heading);
    if (one.text) return h("p", { class: "soft" }, one.text.split("`").map((text, i) => (i % 2 ? h("code", {}, text) : text)));
    if (one.items) return h("ul", { class: "claims" }, one.items.map(([text, word]) => h("li", {}, word && badge(word, mark[word] || "open"), " ", text)));
    return h("div", { class: "wide" }, h("table", {}, h("thead", {}, h("tr", {}, one.head.map((title, i) => h("th", { scope: "col", class: i ? "n" : null }, title)))),
      h("tbody", {}, one.body.map((line) => h("tr", {}, line.map((text, i) => i ? h("td", { class: "n" }, text) : h("th", { scope: "row" }, SITE.tables.some((table) => table.name === text) ? h("a", { href: address("tables", text) }, text) : text)))))));
  };
  const paper = SITE.papers.find((one) => one.name === name);
  replace(main, h("p", { class: "eyebrow" }, h("a", { href: "#/tables" }, "Tables"), " / ", name, paper?.arxiv && [" · ", arxivLink("arXiv:" + paper.arxiv)]), h("article", { class: "paper" }, elements.map(draw)), h("pre", {}, `lineage paper ${name}`));
}
