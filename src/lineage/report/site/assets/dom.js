"use strict";
/* Elements of the page. Strings of data enter as text nodes or attributes alone, never as markup. */

const SVG = "http://www.w3.org/2000/svg";

/** Return an HTML element: h("td", {class: "n", onclick: f}, "text", child, [children]). */
function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** Return an SVG element. */
function svg(tag, props, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props || {})) {
    if (value == null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, text] of Object.entries(value)) element.style.setProperty(key, text);
    else if (name === "checked" || name === "value" || name === "open" || name === "disabled") element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children) {
    if (child == null || child === false) continue;
    if (Array.isArray(child)) append(element, child);
    else element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

function replace(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

/** Return a link to a page elsewhere, or plain text if the address is none of the web. */
function webLink(address, text) {
  return /^https?:\/\//i.test(address || "") ? h("a", { href: address, rel: "noreferrer noopener", target: "_blank" }, text || address) : h("span", {}, text || address);
}

function arxivLink(name, text) {
  const number = /(\d{4}\.\d{4,5})/.exec(name || "");
  return number ? webLink("https://arxiv.org/abs/" + number[1], text || "arXiv:" + number[1]) : h("span", {}, text || name || "");
}

/** Return a text that may break after a slash or an underscore: mask_rcnn/table2c. */
function breakable(text) {
  return String(text ?? "").split(/(?<=[/_])/).map((part, i) => [i > 0 && h("wbr"), part]);
}

function badge(word, kind) {
  return h("span", { class: "badge " + String(kind || word).replace(/[^\w]+/g, "-") }, word);
}

function section(title, sub, ...children) {
  return h("section", { "aria-label": title }, h("h2", {}, title), sub && h("p", { class: "sub" }, sub), children);
}

function emptyState(title, ...lines) {
  return h("div", { class: "empty" }, h("h2", {}, title), lines.map((line) => h("p", {}, line)));
}

/** Return buttons of which one is pressed. options: [value, text]. */
function segments(label, options, value, onchange) {
  const group = h("div", { class: "seg", role: "group", "aria-label": label });
  for (const [option, text] of options)
    group.append(h("button", { type: "button", "aria-pressed": String(option === value), onclick: () => {
      for (const button of group.children) button.setAttribute("aria-pressed", String(button.textContent === text));
      onchange(option);
    } }, text));
  return group;
}

function select(label, options, value, onchange) {
  const element = h("select", { "aria-label": label, onchange: () => onchange(element.value) },
    options.map(([option, text]) => h("option", { value: option }, text)));
  element.value = value;
  return element;
}

function menu(label, ...children) {
  const details = h("details", { class: "menu" }, h("summary", {}, label), h("div", {}, children));
  details.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    details.open = false;
    details.querySelector("summary").focus();
  });
  return details;
}

document.addEventListener("click", (event) => {
  for (const open of document.querySelectorAll("details.menu[open]")) if (!open.contains(event.target)) open.open = false;
});

function toast(text) {
  document.querySelector(".toast")?.remove();
  const element = h("div", { class: "toast", role: "status" }, text);
  document.body.append(element);
  setTimeout(() => element.remove(), 2200);
}
