/* View "Pictures": a list of test images, and the chosen one under each picked run beside the ground truth. */

const ORDERS = { change: "largest loss of B against A", worst: "worst AP first", wrong: "most wrong", missed: "most missed", order: "order of the dataset" };

async function viewPictures(main, { query }) {
  readPicked(query);
  let runs = pickedItems().map((item) => ({ ...item, run: item.runs.find((run) => run.test) })).filter((item) => item.run);
  if (!runs.length && !STATE.picked.length) runs = labelItems(SITE.runs.filter((run) => run.test).slice(-2).map((run, i) => ({ key: run.id, run, first: run, runs: [run], colour: i })));
  if (!runs.length) { replace(main, emptyState("No pictures", missingReason(pickedItems().map((item) => item.first)), "What a run drew itself is on its page:"), h("p", { class: "centre" }, pickedItems().map((item, i) => [i > 0 && " · ", h("a", { href: address("run", item.first.id) }, item.label)]))); return; }
  if (STATE.picked.length) writePicked("pictures");
  const setName = runs[0].run.test, left = runs.filter((item) => item.run.test !== setName);
  runs = runs.filter((item) => item.run.test === setName).slice(0, 4);
  const meta = await loadPart("pictures/" + setName);
  for (const item of runs) item.analysis = await loadPart("analysis/" + item.run.id);
  const tasks = ["box", "mask"].filter((task) => runs.some((item) => item.run.analysis.includes(task)));
  const shared = tasks.filter((task) => runs.every((item) => item.run.analysis.includes(task)));
  const view = { task: shared.at(-1) || tasks.at(-1), order: runs.length > 1 ? "change" : "worst", label: query.get("class") || "", chosen: 0, zoom: 1, x: 0, y: 0, mistakes: false };
  const show = { truth: true, boxes: true, masks: true, keypoints: true, labels: true };
  let listed = [];
  const list = h("div", { class: "imagelist", role: "listbox", tabindex: 0, "aria-label": "images" }), stage = h("div", { class: "stage" }), caption = h("div", { class: "bar stagebar" });
  const score = h("input", { type: "range", min: 0.05, max: 0.95, step: 0.05, value: STATE.score, "aria-label": "least score", oninput: () => setScore(Number(score.value)) }), scoreText = h("output", { class: "num" }, STATE.score.toFixed(2));
  const toggles = Object.fromEntries(["truth", "boxes", "masks", "keypoints", "labels"].map((name) => [name, h("input", { type: "checkbox", checked: true, onchange: () => { show[name] = toggles[name].checked; draw(); } })]));
  const mistakes = h("input", { type: "checkbox", onchange: () => { view.mistakes = mistakes.checked; draw(); } }), meaning = h("span", { class: "soft small meaning" });
  const present = ["truth", "boxes", tasks.includes("mask") && "masks", meta.skeleton.length > 0 && "keypoints", "labels"].filter(Boolean);
  const orders = Object.entries(ORDERS).filter(([name]) => name !== "change" || runs.length > 1);
  replace(main, h("div", { class: "head" }, h("h1", {}, "Pictures"), h("div", { class: "chips" }, runs.map((item) => pickChip(item)))),
    left.length > 0 && h("p", { class: "note" }, `Not shown: ${left.map((item) => item.label).join(", ")}, tested on other images.`),
    h("div", { class: "bar" }, select("order", orders, view.order, (order) => { view.order = order; sort(); }),
      select("class", [["", "every class"], ...meta.classes.map((name, i) => [String(i), name])], view.label, (label) => { view.label = label; draw(); }),
      tasks.length > 1 && segments("task", tasks.map((task) => [task, task]), view.task, (task) => { view.task = task; sort(); }),
      h("label", {}, "score ≥", score, scoreText), present.map((name) => h("label", {}, toggles[name], name)), h("label", {}, mistakes, "colour by error"), meaning),
    h("div", { class: "pictures" }, h("div", { class: "imagepane" }, h("p", { class: "soft small" }, `${meta.positions.length}${meta.positions.length < meta.total ? ` of ${meta.total}` : ""} test images, ${view.task} AP of each`), list), h("div", { class: "stagepane" }, caption, stage)));
  list.addEventListener("scroll", grow);
  sort();
  return { key: onkey };

  function statsOf(item, i) {
    return item.analysis.tasks[view.task]?.images[meta.positions[i]] || [null, 0, 0, 0]; // a run of boxes has no masks
  }

  function sort() {
    const ap = (item, i) => statsOf(item, i)[0], sum = (column) => (i) => -runs.reduce((total, item) => total + statsOf(item, i)[column], 0);
    const mean = (i) => { const values = runs.map((item) => ap(item, i)).filter((value) => value != null); return values.length ? average(values) : null; };
    const read = { change: (i) => { const [a, b] = [ap(runs[0], i), ap(runs[1], i)]; return a == null || b == null ? null : b - a; }, worst: mean, wrong: sum(2), missed: sum(3), order: (i) => i }[view.order];
    listed = sortRows(meta.positions.map((_, i) => i), read, false);
    view.chosen = 0;
    list.replaceChildren();
    grow();
    draw();
  }

  function grow() {
    while (list.children.length < listed.length && list.scrollHeight < list.scrollTop + list.clientHeight + 600) {
      const start = list.children.length;
      list.append(...listed.slice(start, start + 30).map((i, offset) => h("button", { type: "button", role: "option", "aria-selected": String(start + offset === view.chosen), onclick: () => choose(start + offset) },
        h("span", {}, meta.names[i].length > 16 ? "…" + meta.names[i].slice(-15) : meta.names[i]), h("small", { class: "num" }, runs.map((item) => h("span", { class: "c" + item.colour }, statsOf(item, i)[0] == null ? EMPTY : fixed(statsOf(item, i)[0], 0)))))));
      if (!list.clientHeight) break;
    }
  }

  function choose(number) {
    if (number < 0 || number >= listed.length) return;
    list.children[view.chosen]?.setAttribute("aria-selected", "false");
    view.chosen = number;
    Object.assign(view, { zoom: 1, x: 0, y: 0 });
    while (list.children.length <= number) { const before = list.children.length; list.scrollTop = list.scrollHeight; grow(); if (list.children.length === before) break; }
    list.children[number]?.setAttribute("aria-selected", "true");
    list.children[number]?.scrollIntoView({ block: "nearest" });
    draw();
  }

  async function draw() {
    const i = listed[view.chosen], chunk = Math.floor(i / meta.chunk), offset = i % meta.chunk;
    const [truth, ...detections] = await Promise.all([loadPart(`truth/${setName}/${chunk}`), ...runs.map((item) => loadPart(`detections/${item.run.id}/${chunk}`))]);
    if (i !== listed[view.chosen]) return; // another was chosen meanwhile
    const image = truth[offset], fits = (label) => view.label === "" || label === Number(view.label);
    const objects = image.objects.filter(([label]) => fits(label)).map(([label, x, y, w, tall, crowd, polygons, points]) => ({ label, box: [x, y, w, tall], text: meta.classes[label] + (crowd ? " (crowd)" : ""), polygons, points, crowd }));
    const wide = stage.clientWidth, columns = Math.max(1, Math.min(runs.length + Number(show.truth), Math.floor((wide + 14) / 294)));
    const shown = Math.min((wide - 14 * (columns - 1)) / columns - 30, (0.74 * innerHeight * image.w) / image.h);
    const options = { image, meta, show, view, unit: image.w / Math.max(200, shown) };
    const figures = [show.truth && drawPicture({ ...options, marks: objects, title: "ground truth", sub: plural(objects.length, "object") })];
    runs.forEach((item, r) => {
      const marks = detections[r][offset].filter(([label, value]) => fits(label) && value >= STATE.score).map(([label, value, x, y, w, tall, code, polygons, points]) => ({ label, score: value, box: [x, y, w, tall], code, polygons, points, byError: view.mistakes, text: `${meta.classes[label]} ${value.toFixed(2)}` }));
      const missed = view.mistakes ? objects.filter((one) => !one.crowd && !marks.some((mark) => mark.label === one.label && overlap(mark.box, one.box) >= 0.5)).map((one) => ({ ...one, polygons: null, points: null, missed: true, text: "missed " + one.text })) : [];
      const wrong = marks.filter((mark) => mark.code > 0 && mark.code < KINDS.length), stats = statsOf(item, i);
      const right = marks.filter((mark) => mark.code === 0).length, kinds = [...new Set(wrong.map((mark) => mark.code))].map((code) => countKind(wrong.filter((mark) => mark.code === code).length, KINDS[code])).join(", ");
      if (view.mistakes) for (const mark of wrong) mark.text += " " + KINDS[mark.code];
      const panel = drawPicture({ ...options, marks: [...marks, ...missed], title: h("span", { class: `c${item.colour}` }, h("i", { class: "dot" }), " ", runs.length > 1 ? item.label : "prediction"), sub: `AP ${fixed(stats[0], 1)} · ${[right && `${right} right`, kinds].filter(Boolean).join(", ") || (marks.length ? "nothing to match" : "nothing at this score")}` });
      figures.push(panel);
    });
    meaning.textContent = view.mistakes ? "green: right, red: wrong, orange: missed" : "solid: right, dashed: wrong";
    replace(stage, figures);
    replace(caption, h("b", {}, meta.names[i]), h("span", { class: "soft num" }, `${view.chosen + 1} of ${listed.length} · ${image.w} × ${image.h}`),
      h("span", { class: "stagebuttons" }, h("button", { type: "button", "aria-label": "zoom out", onclick: () => zoom(1 / 1.4) }, "−"), h("button", { type: "button", "aria-label": "zoom in", onclick: () => zoom(1.4) }, "+"), h("button", { type: "button", "aria-label": "previous image", onclick: () => choose(view.chosen - 1) }, "↑"), h("button", { type: "button", "aria-label": "next image", onclick: () => choose(view.chosen + 1) }, "↓")));
    for (const picture of stage.querySelectorAll("svg.picture")) {
      picture.addEventListener("wheel", (event) => { if (!event.ctrlKey && !event.shiftKey) return; event.preventDefault(); zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2); }, { passive: false });
      picture.addEventListener("pointermove", (event) => { if (event.buttons !== 1 || view.zoom === 1) return; const unit = image.w / view.zoom / picture.clientWidth; pan(-event.movementX * unit, -event.movementY * unit); });
      picture.addEventListener("dblclick", () => zoom(view.zoom > 1 ? 1 / view.zoom : 2));
    }
    stage.dataset.image = image.w + "x" + image.h;
    stage.dataset.size = JSON.stringify([image.w, image.h]);
  }

  function zoom(factor) {
    const [w, tall] = JSON.parse(stage.dataset.size), centre = [view.x + w / view.zoom / 2, view.y + tall / view.zoom / 2];
    view.zoom = Math.min(16, Math.max(1, view.zoom * factor));
    view.x = centre[0] - w / view.zoom / 2;
    view.y = centre[1] - tall / view.zoom / 2;
    pan(0, 0);
    draw();
  }

  function pan(dx, dy) {
    const [w, tall] = JSON.parse(stage.dataset.size);
    view.x = Math.min(w - w / view.zoom, Math.max(0, view.x + dx));
    view.y = Math.min(tall - tall / view.zoom, Math.max(0, view.y + dy));
    for (const picture of stage.querySelectorAll("svg.picture")) picture.setAttribute("viewBox", `${view.x} ${view.y} ${w / view.zoom} ${tall / view.zoom}`);
  }

  function setScore(value) {
    STATE.score = Math.min(0.95, Math.max(0.05, Math.round(value * 20) / 20));
    score.value = STATE.score;
    scoreText.textContent = STATE.score.toFixed(2);
    saveState();
    draw();
  }

  function onkey(event) {
    const flip = { b: "boxes", m: "masks", k: "keypoints", t: "truth" }[event.key];
    const moves = { ArrowDown: () => choose(view.chosen + 1), ArrowUp: () => choose(view.chosen - 1), j: () => choose(view.chosen + 1), ArrowRight: () => setScore(STATE.score + 0.05), ArrowLeft: () => setScore(STATE.score - 0.05), "+": () => zoom(1.4), "-": () => zoom(1 / 1.4), 0: () => zoom(1 / view.zoom), e: () => mistakes.click() };
    if (flip) toggles[flip].click();
    else if (moves[event.key]) { event.preventDefault(); moves[event.key](); }
  }
}

function overlap([ax, ay, aw, ah], [bx, by, bw, bh]) {
  const w = Math.min(ax + aw, bx + bw) - Math.max(ax, bx), tall = Math.min(ay + ah, by + bh) - Math.max(ay, by);
  return w > 0 && tall > 0 ? (w * tall) / (aw * ah + bw * bh - w * tall) : 0;
}
