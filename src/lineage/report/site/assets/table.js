/* A table that sorts by its heads and grows as it is scrolled, so that thousands of rows cost nothing. */

const CHUNK_ROWS = 80;

/**
 * Return {element, update}. columns: {name, title, tip, number, read(row), cell(row)}; cell returns what a cell holds.
 * update(rows) shows other rows; sort is {name, down}, onsort(sort) is called with another.
 */
function growingTable({ label, columns, sort, onsort, rowProps, firstIsHead = true }) {
  const head = h("tr"), body = h("tbody"), element = h("div", { class: "wide growing", tabindex: -1 }, h("table", { "aria-label": label }, h("thead", {}, head), body));
  let rows = [], shown = 0;
  for (const column of columns) {
    const direction = sort.name === column.name ? (sort.down ? "descending" : "ascending") : null;
    head.append(h("th", { class: [column.number && "n", column.className].filter(Boolean).join(" "), scope: "col", "aria-sort": direction, title: column.tip },
      column.fixed ? column.title : h("button", { type: "button", onclick: () => onsort({ name: column.name, down: sort.name === column.name ? !sort.down : Boolean(column.number) }) }, column.title)));
  }
  function grow() {
    const fragment = document.createDocumentFragment();
    for (const row of rows.slice(shown, shown + CHUNK_ROWS))
      fragment.append(h("tr", rowProps?.(row), columns.map((column, i) =>
        h(i === 0 && firstIsHead ? "th" : "td", { class: [column.number && "n", column.className].filter(Boolean).join(" "), scope: i === 0 && firstIsHead ? "row" : null }, column.cell(row)))));
    body.append(fragment);
    shown = Math.min(rows.length, shown + CHUNK_ROWS);
  }
  element.addEventListener("scroll", () => { if (shown < rows.length && element.scrollTop + element.clientHeight > element.scrollHeight - 600) grow(); });
  addEventListener("beforeprint", () => { while (element.isConnected && shown < rows.length) grow(); });
  return {
    element,
    update(list) {
      rows = list;
      shown = 0;
      body.replaceChildren();
      grow();
    },
  };
}

/** Sort rows by a value; rows without it stand last. */
function sortRows(rows, read, down) {
  const decorated = rows.map((row) => [read(row), row]);
  decorated.sort(([a], [b]) => {
    if (a == null || b == null) return (a == null) - (b == null);
    const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
    return down ? -order : order;
  });
  return decorated.map(([, row]) => row);
}
