/* Differences between picked runs: what was asked for, and what came of it. */

/** Return rows [kind, name, values] of the options and keys in which the items are not all alike. */
function configDifferences(items) {
  const options = SITE.choices.map((name, i) => ["option", name, items.map((item) => item.first.choices[i])]);
  const keys = SITE.keys.map((name, i) => ["key", name, items.map((item) => item.first.keys[i])]);
  const differ = ([, , values]) => new Set(values.map((value) => JSON.stringify(value ?? null))).size > 1;
  const changed = options.filter(differ), groups = changed.map(([, name]) => name);
  const within = (key, roots) => roots.some((root) => key.startsWith(root + "."));
  const shown = keys.filter(differ).filter(([, key]) => !within(key, groups));
  const roots = shown.map(([, key]) => key);
  return [...changed, ...shown.filter(([, key]) => !within(key, roots.filter((root) => root !== key)))];
}

function differencesSection(items) {
  const rows = configDifferences(items);
  if (!rows.length) return section("What differs", "Nothing that is computed: these runs differ in their seed, code or machine alone.");
  return section("What differs", "Options and keys of the config; seeds, places and hardware are left out.",
    h("div", { class: "wide narrow" }, h("table", { "aria-label": "differences of the configs" }, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, ""), itemHeads(items))),
      h("tbody", {}, rows.map(([kind, name, values]) => h("tr", {}, h("th", { scope: "row", title: name }, h("span", { class: kind === "key" ? "mono" : null }, name)),
        values.map((value, i) => h("td", { class: i > 0 && String(value) !== String(values[0]) ? "changed" : null }, value == null ? h("span", { class: "faint" }, "absent") : typeof value === "number" ? plain(value) : value)))))))
  );
}

function itemHeads(items) {
  return items.map((item, i) => h("th", { scope: "col", class: `itemhead c${item.colour}` }, h("span", {}, h("i", { class: "dot" }), String.fromCharCode(65 + i)), h("a", { href: address("run", item.first.id) }, item.label)));
}

function metricsSection(items) {
  const names = [...SITE.metrics, ...SITE.costNames].filter((name) => items.some((item) => summarize(item.runs, columnOf(name)).mean != null)), taskOf = (name) => name.split("/")[0];
  const isMain = (name) => /\/(AP|AP50|AP75|APs|APm|APl|PQ|mAP|mAP07|mIoU|PSNR|SSIM)$/.test(name) || SITE.headline.includes(name), tasks = new Set(names.filter(isMain).map(taskOf));
  const main = names.filter((name) => isMain(name) || !tasks.has(taskOf(name))); // all of a task that has no main metric, as of costs
  const bodies = [h("tbody"), h("tbody")], ofCost = (name) => name.startsWith("cost/");
  const listing = (label, body) => h("div", { class: "wide narrow" }, h("table", { "aria-label": label }, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, ""), itemHeads(items))), body));
  let all = false;
  const toggle = h("button", { type: "button", onclick: () => { all = !all; draw(); } });
  draw();
  const apart = new Set(items.map((item) => item.first.setting)).size > 1;
  return section("What came of it", apart ? null : explainDifferences(items, main),
    apart && h("p", { class: "note" }, "These runs were tested differently (another tier, other images or other rules): their numbers are not comparable."),
    h("div", { class: "beside" }, listing("metrics", bodies[0]), names.some(ofCost) && listing("metrics of cost", bodies[1])),
    names.length > main.length && h("p", { class: "more" }, toggle));

  function draw() {
    toggle.textContent = all ? "Main metrics only" : `All ${names.length} metrics`;
    for (const [i, body] of bodies.entries()) replace(body, (all ? names : main).filter((name) => ofCost(name) === Boolean(i)).map((name) => h("tr", {}, h("th", { scope: "row", title: name }, titleOf(name, name.startsWith("cost/") ? "cost" : "metric")),
      items.map((item, i) => h("td", { class: "n" }, metricCell(items[0], item, name, i, items.length - 1))))));
  }
}

/** Return what the numbers of a cell are, and why a ± is absent. */
function explainDifferences(items, names) {
  const others = items.slice(1).map((item) => names.filter((name) => !name.startsWith("cost/")).map((name) => difference(items[0], item, name)));
  const known = others.some((changes) => changes.some((change) => change.margin != null));
  const groups = items.some((item) => item.runs.length > 1) ? "Mean ± standard deviation over seeds; below it the difference to A" : "Below each value the difference to A";
  const count = items.length > 2 ? `, for the ${items.length - 1} differences of a line together (Bonferroni); lines are not corrected for one another` : "; lines are not corrected for one another";
  if (known) return `${groups}, ± half its 95 % interval by the noise between seeds${count}. Bold: clear of the noise.`;
  if (items.slice(1).every((item) => item.first.group >= 0 && item.first.group === items[0].first.group)) return `${groups}, without ±: these are seeds of one experiment, whose differences are the noise.`;
  return `${groups}, without ±: the noise between seeds is unknown here. It takes groups with 3 degrees of freedom in all, as two settings with three seeds each have: python train.py -m … seed=0,1,2`;
}

function metricCell(first, item, name, i, count) {
  const isCost = name.startsWith("cost/"), { mean, sd } = summarize(item.runs, columnOf(name));
  const value = [isCost ? cost(mean) : fixed(mean, digitsOf(name)), sd != null && (!isCost || isSpread(mean, sd)) && h("small", {}, " ± ", isCost ? costSpread(sd) : fixed(sd, 2))];
  if (i === 0 || mean == null) return value;
  const change = difference(first, item, name, count);
  if (change.difference == null) return value;
  const isBetter = (change.difference > 0) !== isLower(name), isClear = change.clear && !isCost;
  const text = isCost ? (change.a.mean ? signed((100 * change.difference) / change.a.mean, 0) + " %" : EMPTY) : signed(change.difference, 2) + (change.margin == null ? "" : ` ± ${fixed(change.margin, 2)}`);
  return [value, h("div", { class: `delta ${isClear ? (isBetter ? "good" : "bad") : "soft"}`, title: change.isSame ? "seeds of one experiment" : change.source ? "noise: " + change.source : null }, isClear ? h("b", {}, text) : text)];
}
