"""A table as an HTML page, and the index of all: one file each, no script from elsewhere, light and dark."""

from __future__ import annotations

from collections import Counter
from html import escape
from pathlib import Path

from lineage.tables.format.view import CLAIMS, Block, CellText, Section, TableView
from lineage.tables.numbers import EMPTY
from lineage.tables.table import Table
from lineage.tables.verdicts import strip_tier


def render_page(view: TableView, has_index: bool = False) -> str:
    """Return a self-contained page; with an index, which `--all` writes, it has a relative link back to it."""
    ordered = sorted(view.blocks, key=lambda block: block.title != CLAIMS)  # the conclusions before the numbers
    blocks = "".join(map(_render_block, ordered))
    notes = "".join(f"<li>{escape(note)}</li>" for note in view.notes)
    index = f'<a href="{"../" * view.name.count("/")}index.html">All tables</a> / ' if has_index else ""
    body = (
        f'<p class="path">{index}{escape(view.name)}</p>'
        f"<h1>{escape(view.message)}</h1><p class=lead>{escape(view.title)}</p>{blocks}"
        f"<ul class=notes>{notes}</ul><p class=source>{escape(view.source)}</p>"
    )
    return wrap_document(view.title, body)


def render_index(tables: list[tuple[Table, TableView]]) -> str:
    """Return a page with each table's message and verdicts; sortable, filtered by words, paper and verdict."""
    papers = sorted({table.paper for table, _ in tables})
    words = sorted({word for _, view in tables for word in count_verdicts(view)})
    rows = "".join(_index_row(table, view) for table, view in tables)
    bar = (
        '<div class=bar><input id=find type=search placeholder="Find a table" aria-label="Find a table">'
        f"{_select('paper', papers)}{_select('verdict', words)}<span id=count></span></div>"
    )
    head = "".join(f"<th tabindex=0>{name}</th>" for name in ("Paper", "Table", "Message", "Rows", "Verdicts"))
    body = f"<h1>Tables of the lineage</h1>{bar}<div class=wide><table class=sortable><thead><tr>{head}</tr></thead>"
    return wrap_document("Tables of the lineage", f"{body}<tbody>{rows}</tbody></table></div>")


def count_verdicts(view: TableView) -> Counter[str]:
    """Count the words of verdicts in a table, claims included."""
    sections = (section for block in view.blocks for section in block.sections)
    cells = (cell for section in sections for line in section.body for cell in line)
    return Counter(cell.text for cell in cells if cell.verdict and cell.text != EMPTY)


def _index_row(table: Table, view: TableView) -> str:
    counts = count_verdicts(view)
    badges = " ".join(f"<span>{_badge(word)}<small>{n}</small></span>" for word, n in counts.most_common())
    filters = f'data-paper="{escape(table.paper)}" data-verdict="{escape("|".join(counts))}"'
    link = f'<a href="{escape(table.name)}.html">{escape(table.label)}</a>'
    return (
        f"<tr {filters}><td class=paper>{escape(table.paper)}</td><td>{link}</td>"
        f"<td class=said>{escape(table.message)}</td>"
        f"<td class=number>{len(table.rows)}</td><td class=words>{badges}</td></tr>"
    )


def _select(name: str, values: list[str]) -> str:
    options = "".join(f"<option>{escape(value)}</option>" for value in values)
    return f'<select id={name} aria-label="{name}"><option value="">every {name}</option>{options}</select>'


def _render_block(block: Block) -> str:
    return f"<section><h2>{escape(block.title)}</h2>{''.join(map(_render_section, block.sections))}</section>"


def _render_section(section: Section) -> str:
    flush = [any(line[i].number for line in section.body) for i in range(len(section.head))]
    columns = zip(section.head, flush, strict=True)
    head = "".join(f"<th tabindex=0{_class(right)}>{escape(name)}</th>" for name, right in columns)
    rows = ("".join(map(_render_cell, line, flush)) for line in section.body)
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    top = f"<caption>{escape(section.title)}</caption><thead><tr>{head}</tr></thead>"
    return f"<div class=wide><table class=sortable>{top}<tbody>{body}</tbody></table></div>"


def _render_cell(cell: CellText, right: bool) -> str:
    if cell.verdict and cell.text != EMPTY:
        return f"<td>{_badge(cell.text)}</td>"
    content = escape(cell.text)
    names = " ".join([*(["number"] if right else []), *(["faint"] if cell.text == EMPTY else [])])
    attribute = f' class="{names}"' if names else ""
    return f"<td{attribute}>{f'<b>{content}</b>' if cell.bold else content}</td>"


def _badge(word: str) -> str:
    name = strip_tier(word).replace(" ", "-")
    return f'<span class="badge {escape(name)}">{escape(word)}</span>'


def _class(right: bool) -> str:
    return " class=number" if right else ""


def wrap_document(title: str, body: str) -> str:
    """Return a whole page with the style and the script of all pages in it."""
    style, script = (Path(__file__).with_name(name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{escape(title)}</title><style>{style}</style><main>{body}</main><script>{script}</script></html>\n"
    )
