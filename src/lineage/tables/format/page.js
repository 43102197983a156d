const order = new Intl.Collator(undefined, {numeric: true});
const compare = (a, b) => { const [x, y] = [a, b].map(parseFloat); return isNaN(x) || isNaN(y) ? order.compare(a, b) : x - y; };
for (const table of document.querySelectorAll('.sortable')) for (const [i, head] of [...table.tHead.rows[0].cells].entries()) {
  const sort = () => {
    const up = head.getAttribute('aria-sort') !== 'ascending', body = table.tBodies[0];
    for (const other of table.tHead.rows[0].cells) other.removeAttribute('aria-sort');
    head.setAttribute('aria-sort', up ? 'ascending' : 'descending');
    body.append(...[...body.rows].sort((a, b) => (up ? 1 : -1) * compare(a.cells[i].textContent, b.cells[i].textContent)));
  };
  head.onclick = sort; head.onkeydown = event => { if (event.key === 'Enter') sort(); };
}
const [find, paper, verdict, count] = ['find', 'paper', 'verdict', 'count'].map(id => document.getElementById(id));
if (find) {
  const rows = [...document.querySelectorAll('tbody tr')];
  const filter = () => {
    for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(find.value.toLowerCase()) ||
      (paper.value && row.dataset.paper !== paper.value) || (verdict.value && !row.dataset.verdict.split('|').includes(verdict.value));
    count.textContent = `${rows.filter(row => !row.hidden).length} of ${rows.length} tables`;
  };
  for (const control of [find, paper, verdict]) control.oninput = filter;
  filter();
}
