/* View "Lineage": the family tree of the models, and the graph of entries behind a number. */

function viewLineage(main, { name }) {
  if (name) return viewProvenance(main, name.split("+").filter((id) => RUN_BY_ID.has(id)));
  const tree = layOutTree(SITE.family);
  const details = h("div", { class: "modeldetails", "aria-live": "polite" }, h("p", { class: "soft" }, "Choose a model to see its idea, its paper, what was published and what was reached here."));
  replace(main, h("div", { class: "head" }, h("h1", {}, "Lineage"), h("p", {}, `${SITE.family.length} models, from R-CNN to today; ${SITE.family.filter((one) => one.ours.length).length} of them have runs here`)),
    h("div", { class: "family" }, h("div", { class: "wide treebox" }, drawTree(tree, show)), details), provenanceList());
  const first = SITE.family.find((one) => one.ours.length) || SITE.family[0];
  if (first) show(first, false);

  function show(model, isChosen = true) {
    for (const node of document.querySelectorAll(".treenode")) node.classList.toggle("chosen", node.dataset.option === model.option);
    replace(details, modelDetails(model));
    if (isChosen && innerWidth <= 1100) details.scrollIntoView({ block: "nearest", behavior: "smooth" });
  }
}

/** Return the models as lines of an outline, each below the one it grew from: {model, depth, ends}. */
function layOutTree(models) {
  const options = new Set(models.map((model) => model.option)), children = new Map(), lines = [];
  for (const model of models) {
    const parent = options.has(model.from) ? model.from : "";
    children.set(parent, [...(children.get(parent) || []), model]);
  }
  const place = (model, depth, ends) => {
    lines.push({ model, depth, ends });
    const list = [...(children.get(model.option) || [])].sort((a, b) => (a.year || 9999) - (b.year || 9999));
    list.forEach((child, i) => place(child, depth + 1, [...ends, i === list.length - 1]));
  };
  for (const root of children.get("") || []) place(root, 0, []);
  return lines;
}

/** Return the outline as a table; `ends` says at each depth whether the branch ends there. */
function drawTree(lines, onchoose) {
  const step = innerWidth > 640 ? 17 : 9, tall = 34;
  const branch = ({ depth, ends }) => svg("svg", { width: depth * step, height: tall, class: "twigs", "aria-hidden": "true" }, ends.map((isLast, i) => {
    const x = i * step + (step > 9 ? 7 : 3), isOwn = i === depth - 1;
    return isOwn ? svg("path", { class: "branch", d: `M${x} 0V${tall / 2 - 5}Q${x} ${tall / 2} ${x + 5} ${tall / 2}H${x + step - 4}${isLast ? "" : `M${x} 0V${tall}`}` }) : !isLast && svg("path", { class: "branch", d: `M${x} 0V${tall}` });
  }));
  const published = (model) => model.variants.map((variant) => variant.published.paper || Object.values(variant.published)[0]).find(Boolean);
  return h("table", { class: "tree", "aria-label": "family tree of the models" }, h("thead", {}, h("tr", {}, ["model", "year", "idea", "published", "here"].map((title, i) => h("th", { scope: "col", class: [i > 2 && "n", i === 2 && "ideacell"].filter(Boolean).join(" ") }, title)))),
    h("tbody", {}, lines.map((line) => {
      const { model } = line, best = model.ours[0], row = h("tr", { class: `treenode${best ? " ran" : ""}`, onclick: () => onchoose(model) },
        h("th", { scope: "row" }, h("span", { class: "twigcell" }, branch(line), h("button", { type: "button", class: "plain", onclick: () => onchoose(model) }, model.name || model.option))), h("td", { class: "num soft" }, model.year || EMPTY), h("td", { class: "ideacell", title: model.idea }, model.idea || ""),
        h("td", { class: "n pub", title: published(model) }, shortPublished(published(model)) || EMPTY), h("td", { class: "n" }, best ? h("a", { href: address("run", best.run), title: Object.entries(best.values).map(([name, value]) => `${name} ${fixed(value, digitsOf(name))}`).join(", ") }, Object.entries(best.values).map(([name, value]) => fixed(value, digitsOf(name))).join(" / "), h("small", {}, " " + best.tier)) : h("span", { class: "faint" }, EMPTY)));
      row.dataset.option = model.option;
      return row;
    })));
}

/** Return the number of the shortest schedule, which stands before those in brackets, if there is one. */
function shortPublished(text) {
  const [, first, rest] = /^(.*?)(?: \((.*)\))?$/.exec(text || "");
  return first === "-" && rest ? rest : first;
}

function modelDetails(model) {
  const line = (variant) => h("li", {}, h("b", {}, variant.name), h("span", { class: "soft small" }, [variant.benchmark, variant.parameters && `${fixed(variant.parameters / 1e6)} M parameters`].filter(Boolean).join(" · ")), h("dl", { class: "facts published" }, Object.entries(variant.published).map(([base, value]) => h("div", {}, h("dt", {}, base), h("dd", { class: "num" }, value)))));
  return h("div", { class: "card" }, h("p", { class: "eyebrow" }, [model.year, model.paper && arxivLink(model.paper)].filter(Boolean).flatMap((one, i) => [i > 0 && " · ", one])), h("h2", {}, model.name || model.option), model.idea && h("p", { class: "idea" }, model.idea[0].toUpperCase() + model.idea.slice(1) + "."),
    h("h3", {}, "Here"), model.ours.length ? h("dl", { class: "facts published" }, model.ours.map((one) => h("div", {}, h("dt", {}, h("a", { href: address("run", one.run) }, breakable(one.dataset), `, ${one.tier}`)), h("dd", { class: "num" }, Object.entries(one.values).map(([name, value]) => `${name} ${fixed(value, digitsOf(name))}`).join(" · "))))) : h("p", { class: "soft" }, "No run yet: ", h("code", {}, `python train.py model=${model.option}`)),
    model.variants.length > 0 && [h("h3", {}, model.variants.every((one) => one.benchmark.startsWith("COCO")) ? "Published, box AP / mask or keypoint AP" : "Published"), h("ul", { class: "variants" }, model.variants.map(line))]);
}

/** Return the runs that were built on others, with the runs that they used. */
function provenanceList() {
  const children = SITE.runs.filter((run) => run.parents.length);
  if (!children.length) return section("Graph of entries", "No run here was built on another. Runs that start from weights, regions or labels of others appear here.");
  const used = new Map(); // name of a run and of those that it uses -> {runs, parents}
  for (const run of children) {
    const parents = run.parents.map((id) => RUN_BY_ID.get(id)?.name || id), key = [run.name, ...parents].join("\n");
    used.set(key, { parents, runs: [...(used.get(key)?.runs || []), run] });
  }
  const lines = [...used.values()].sort((a, b) => a.runs[0].name.localeCompare(b.runs[0].name));
  return section("Graph of entries", "Runs that use the weights, regions or labels of others; a click shows the entries behind them.", h("div", { class: "wide narrow provenance" }, h("table", { "aria-label": "runs that use others" }, h("thead", {}, h("tr", {}, ["run", "n", "uses"].map((title) => h("th", { scope: "col", class: title === "n" ? "n" : null }, title)))),
    h("tbody", {}, lines.map(({ runs, parents }) => h("tr", {}, h("th", { scope: "row" }, h("a", { href: address("lineage", runs.map((run) => run.id).join("+")) }, breakable(runs[0].name))), h("td", { class: "n" }, runs.length), h("td", {}, breakable(parents.join(", ")))))))));
}

/** Show the entries behind a number: the runs themselves and, to their left, all that they were built on. */
function viewProvenance(main, ids) {
  const runs = ids.map((id) => RUN_BY_ID.get(id));
  if (!runs.length) { replace(main, emptyState("No such entries", "The store does not hold them any more.")); return; }
  const nodes = collectAncestors(runs), metric = headlineOf(runs);
  replace(main, h("p", { class: "eyebrow" }, h("a", { href: "#/lineage" }, "Lineage"), " / entries"), h("h1", {}, itemLabel(runs)),
    h("p", { class: "soft" }, runs[0].table && [h("a", { href: address("tables", runs[0].table) }, runs[0].table), " · "], metric && `${metric}: `, metric && (() => { const { mean, sd, n } = summarize(runs, columnOf(metric)); return `${fixed(mean, digitsOf(metric))}${sd == null ? "" : ` ± ${fixed(sd, 2)}`} over ${plural(n, "seed")}`; })()),
    section("Entries behind it", "From left to right: what was used, and what used it. A dashed one is not in this store.", h("div", { class: "card scroll" }, drawGraph(nodes, metric))),
    section("Runs", null, h("div", { class: "wide" }, h("table", { "aria-label": "entries" }, h("thead", {}, h("tr", {}, ["entry", "seed", metric, "status", "commit", "started"].map((title, i) => h("th", { scope: "col", class: i === 2 ? "n" : null }, title)))),
      h("tbody", {}, runs.map((run) => h("tr", {}, h("th", { scope: "row" }, h("a", { href: address("run", run.id), class: "mono" }, run.id)), h("td", {}, run.seed), h("td", { class: "n" }, fixed(valueOf(run, metric), digitsOf(metric))), h("td", {}, badge(run.status)), h("td", { class: "mono" }, run.commit + (run.dirty ? " + changes" : "")), h("td", { class: "num" }, date(run.started)))))))),
    runs.length > 1 && h("p", { class: "more" }, h("a", { href: address("compare", "", { runs: runs.slice(0, MOST_PICKED).map((run) => run.id).join(",") }) }, "Compare these seeds")));
}

function collectAncestors(runs) {
  const nodes = new Map();
  const visit = (id, depth) => {
    const known = nodes.get(id), run = RUN_BY_ID.get(id) || null;
    if (known && known.depth >= depth) return;
    nodes.set(id, { id, run, depth, parents: run ? run.parents : [] });
    if (depth < 12) for (const parent of run?.parents || []) visit(parent, depth + 1);
  };
  for (const run of runs) visit(run.id, 0);
  for (const child of SITE.runs) if (child.parents.some((id) => runs.some((run) => run.id === id)) && !nodes.has(child.id)) nodes.set(child.id, { id: child.id, run: child, depth: -1, parents: child.parents });
  return [...nodes.values()];
}

function drawGraph(nodes, metric) {
  const wide = 226, tall = 46, gap = 14, step = 286, deepest = Math.max(...nodes.map((node) => node.depth)), rows = new Map();
  for (const node of nodes) {
    node.column = deepest - node.depth;
    node.row = rows.get(node.column) || 0;
    rows.set(node.column, node.row + 1);
  }
  const width = (Math.max(...nodes.map((node) => node.column)) + 1) * step - (step - wide) + 4, height = Math.max(...rows.values()) * (tall + gap) + 4, byId = new Map(nodes.map((node) => [node.id, node]));
  const x = (node) => node.column * step + 2, y = (node) => node.row * (tall + gap) + 2;
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, class: "plot graph", role: "group", "aria-label": "graph of entries" });
  for (const node of nodes) for (const parent of node.parents) if (byId.has(parent)) {
    const from = byId.get(parent), x1 = x(from) + wide, y1 = y(from) + tall / 2, x2 = x(node), y2 = y(node) + tall / 2;
    root.append(svg("path", { class: "branch", d: `M${x1} ${y1}C${x1 + 40} ${y1},${x2 - 40} ${y2},${x2} ${y2}` }));
  }
  for (const node of nodes) {
    const box = [svg("rect", { width: wide, height: tall, rx: 8, class: node.run ? null : "absent" }), svg("text", { x: 12, y: 19, class: "nodename" }, shorten(node.run ? node.run.row || node.run.name : "not in this store", 29)),
      svg("text", { x: 12, y: 36 }, node.run ? `seed ${node.run.seed} · ${node.run.tail}` : shorten(node.id, 32)), node.run && valueOf(node.run, metric) != null && svg("text", { class: "treevalue", x: wide - 11, y: 36, "text-anchor": "end" }, fixed(valueOf(node.run, metric), digitsOf(metric))), svg("title", {}, node.id)];
    root.append(node.run ? svg("a", { href: address("run", node.id), transform: `translate(${x(node)} ${y(node)})`, "aria-label": node.run.name, class: "graphnode" }, box) : svg("g", { transform: `translate(${x(node)} ${y(node)})`, class: "graphnode" }, box));
  }
  return root;
}
