/* One picture: the image with objects or detections drawn over it as vectors. */

const KINDS = ["right", "wrong class", "loose box", "class and box", "duplicate", "background", "missed"];
const PLURALS = { "wrong class": "wrong classes", "loose box": "loose boxes", "duplicate": "duplicates" };
const countKind = (count, kind) => `${count} ${count > 1 ? PLURALS[kind] || kind : kind}`;
const HUES = [12, 205, 95, 42, 275, 165, 325, 60, 230, 25, 130, 300];

/** Return a figure of an image with marks: {label, box, text, code, polygons, points}. unit: its pixels per pixel of the page. */
function drawPicture({ image, marks, title, sub, meta, show, view, unit }) {
  const { w, h: tall } = image;
  const root = svg("svg", { viewBox: `${view.x} ${view.y} ${w / view.zoom} ${tall / view.zoom}`, class: "picture", role: "img", "aria-label": `${typeof title === "string" ? title : title.textContent}: ${marks.length ? marks.map((mark) => mark.text).join(", ") : "nothing drawn"}` },
    svg("image", { href: image.src, width: w, height: tall }));
  const scale = unit / view.zoom;
  for (const mark of [...marks].sort((a, b) => b.box[2] * b.box[3] - a.box[2] * a.box[3])) root.append(drawMark(mark, scale, show, meta));
  if (show.labels) for (const tag of placeTags(marks, scale, view.x + w / view.zoom)) root.append(tag);
  return h("figure", { class: "card figure picturebox" }, h("figcaption", {}, typeof title === "string" ? h("span", {}, title) : title, sub && h("small", { title: sub }, sub)), root);
}

function drawMark(mark, scale, show, meta) {
  const colour = markColour(mark), group = svg("g", { class: "mark" + (mark.missed ? " missedmark" : ""), style: { color: colour } }, svg("title", {}, mark.text));
  const [x, y, w, tall] = mark.box;
  if (show.masks && mark.polygons) group.append(svg("path", { class: "maskmark", "stroke-width": 1.2 * scale, d: mark.polygons.map((flat) => "M" + pairs(flat).map(([px, py]) => `${px} ${py}`).join("L") + "Z").join("") }));
  if (show.boxes) group.append(svg("rect", { class: "boxmark", x, y, width: w, height: tall, "stroke-width": 2 * scale, "stroke-dasharray": mark.code > 0 || mark.missed ? `${6 * scale} ${4 * scale}` : null }));
  if (show.keypoints && mark.points) group.append(...drawSkeleton(mark.points, meta.skeleton, scale));
  return group;
}

/** A detection is coloured by its class; where errors are shown, by what it is: right, wrong, missed. */
function markColour(mark) {
  if (mark.missed) return "oklch(0.72 0.19 60)";
  if (mark.byError) return mark.code === 0 ? "oklch(0.78 0.19 150)" : "oklch(0.66 0.24 25)";
  return `oklch(0.76 0.17 ${HUES[mark.label % HUES.length]})`;
}

function pairs(flat) {
  const list = [];
  for (let i = 0; i + 1 < flat.length; i += 2) list.push([flat[i], flat[i + 1]]);
  return list;
}

function drawSkeleton(points, skeleton, scale) {
  const list = [];
  for (let i = 0; i + 2 < points.length; i += 3) list.push(points[i + 2] > 0 ? [points[i], points[i + 1]] : null);
  const lines = skeleton.filter(([a, b]) => list[a] && list[b]).map(([a, b]) => svg("line", { class: "bone", x1: list[a][0], y1: list[a][1], x2: list[b][0], y2: list[b][1], "stroke-width": 2 * scale }));
  return [...lines, ...list.filter(Boolean).map(([x, y]) => svg("circle", { class: "joint", cx: x, cy: y, r: 3 * scale, "stroke-width": scale }))];
}

/** Return tags left of `right` that cover no other tag, those of small objects first; where there is no room, none. */
function placeTags(marks, scale, right) {
  const taken = [], tags = [], size = 12.5 * scale, tall = 17 * scale;
  for (const mark of [...marks].sort((a, b) => a.box[2] * a.box[3] - b.box[2] * b.box[3])) {
    const wide = (mark.text.length * 6.9 + 9) * scale, [start, y, , height] = mark.box, x = Math.max(0, Math.min(start, right - wide));
    const spot = [[x, y - tall], [x, y], [x, y + height]].find(([left, top]) => top > -tall / 2 && !taken.some((one) => left < one[0] + one[2] && one[0] < left + wide && top < one[1] + tall && one[1] < top + tall));
    if (!spot) continue;
    taken.push([...spot, wide]);
    tags.push(svg("g", { class: "tag", style: { color: markColour(mark) } }, svg("rect", { x: spot[0], y: spot[1], width: wide, height: tall, rx: 2.5 * scale }), svg("text", { x: spot[0] + 4.5 * scale, y: spot[1] + 12.6 * scale, "font-size": size }, mark.text)));
  }
  return tags;
}
