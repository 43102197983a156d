/* A table as text: TSV for sheets, Markdown, LaTeX. */

const WRITERS = {
  TSV: (head, body) => [head, ...body].map((row) => row.map((cell) => cell.replace(/[\t\n]/g, " ")).join("\t")).join("\n"),
  Markdown: (head, body) => {
    const line = (row) => "| " + row.map((cell) => cell.replace(/([|\\])/g, "\\$1").replace(/\n/g, " ")).join(" | ") + " |";
    return [line(head), line(head.map(() => "---")), ...body.map(line)].join("\n");
  },
  LaTeX: (head, body) => {
    const special = { "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "±": "$\\pm$", "−": "$-$", "–": "--", "…": "\\ldots{}" };
    const escape = (cell) => cell.replace(/[\\~^±−–…]|[&%$#_{}]/g, (letter) => special[letter] || "\\" + letter);
    const line = (row) => "  " + row.map(escape).join(" & ") + " \\\\";
    return [`\\begin{tabular}{l${"r".repeat(head.length - 1)}}`, "  \\toprule", line(head), "  \\midrule", ...body.map(line), "  \\bottomrule", "\\end{tabular}"].join("\n");
  },
};

/** Return a menu that copies what table() returns: {head, body} of strings. */
function copyMenu(table) {
  const element = menu("Copy", Object.keys(WRITERS).map((name) => h("button", { type: "button", class: "item", onclick: () => {
    const { head, body } = table();
    copyText(WRITERS[name](head, body) + "\n", `${plural(body.length, "row")} as ${name}`);
    element.open = false;
  } }, name)));
  return element;
}

function copyText(text, what) {
  const area = h("textarea", { class: "srt", "aria-hidden": "true" });
  area.value = text;
  document.body.append(area);
  area.select();
  const isCopied = document.execCommand("copy"); // works on pages that were opened from disk, where the clipboard API may not
  area.remove();
  window.lineageSite.copied = text;
  toast(isCopied ? `Copied ${what}` : "The browser does not let this page copy");
}
