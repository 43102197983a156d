"""A table as an HTML page, and the index of all: one file each, no script from elsewhere, light and dark."""

from __future__ import annotations

from collections import Counter
from html import escape
from pathlib import Path

from lineage.tables.format.view import CLAIMS, Block, Section, Sheet, Text
from lineage.tables.table import Table


def page(sheet: Sheet) -> str:
    """Self-contained; the link back to the index is relative."""
    ordered = sorted(sheet.blocks, key=lambda block: block.title != CLAIMS)  # what it comes to, before the numbers
    blocks = "".join(map(_block, ordered))
    notes = "".join(f"<li>{escape(note)}</li>" for note in sheet.notes)
    up = "../" * sheet.name.count("/")
    body = (
        f'<p class="path"><a href="{up}index.html">All tables</a> / {escape(sheet.name)}</p>'
        f"<h1>{escape(sheet.message)}</h1><p class=lead>{escape(sheet.title)}</p>{blocks}"
        f"<ul class=notes>{notes}</ul><p class=source>{escape(sheet.source)}</p>"
    )
    return _document(sheet.title, body)


def index(shown: list[tuple[Table, Sheet]]) -> str:
    """Every table with its message and verdicts; sortable, filtered by words, paper and verdict."""
    papers = sorted({table.paper for table, _ in shown})
    words = sorted({word for _, sheet in shown for word in verdicts(sheet)})
    rows = "".join(_index_row(table, sheet) for table, sheet in shown)
    bar = (
        '<div class=bar><input id=find type=search placeholder="Find a table" aria-label="Find a table">'
        f"{_select('paper', papers)}{_select('verdict', words)}<span id=count></span></div>"
    )
    head = "".join(f"<th tabindex=0>{name}</th>" for name in ("Paper", "Table", "Message", "Rows", "Verdicts"))
    body = f"<h1>Tables of the lineage</h1>{bar}<div class=wide><table class=sortable><thead><tr>{head}</tr></thead>"
    return _document("Tables of the lineage", f"{body}<tbody>{rows}</tbody></table></div>")


def verdicts(sheet: Sheet) -> Counter[str]:
    """How often each word stands in a table, claims included."""
    cells = (text for block in sheet.blocks for part in block.sections for line in part.body for text in line)
    return Counter(text.text for text in cells if text.verdict and text.text != "-")


def _index_row(table: Table, sheet: Sheet) -> str:
    found = verdicts(sheet)
    badges = " ".join(f"<span>{_badge(word)}<small>{n}</small></span>" for word, n in found.most_common())
    told = f'data-paper="{escape(table.paper)}" data-verdict="{escape("|".join(found))}"'
    link = f'<a href="{escape(table.name)}.html">{escape(table.label)}</a>'
    return (
        f"<tr {told}><td class=paper>{escape(table.paper)}</td><td>{link}</td>"
        f"<td class=said>{escape(table.message)}</td>"
        f"<td class=number>{len(table.rows)}</td><td class=words>{badges}</td></tr>"
    )


def _select(name: str, values: list[str]) -> str:
    options = "".join(f"<option>{escape(value)}</option>" for value in values)
    return f'<select id={name} aria-label="{name}"><option value="">every {name}</option>{options}</select>'


def _block(block: Block) -> str:
    return f"<section><h2>{escape(block.title)}</h2>{''.join(map(_section, block.sections))}</section>"


def _section(section: Section) -> str:
    flush = [any(line[i].number for line in section.body) for i in range(len(section.head))]
    named = zip(section.head, flush, strict=True)
    head = "".join(f"<th tabindex=0{_class(right)}>{escape(name)}</th>" for name, right in named)
    rows = ("".join(_cell(text, right) for text, right in zip(line, flush, strict=True)) for line in section.body)
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    top = f"<caption>{escape(section.title)}</caption><thead><tr>{head}</tr></thead>"
    return f"<div class=wide><table class=sortable>{top}<tbody>{body}</tbody></table></div>"


def _cell(text: Text, right: bool) -> str:
    if text.verdict and text.text != "-":
        return f"<td>{_badge(text.text)}</td>"
    inside = escape(text.text)
    faint = ' class="number faint"' if text.text == "-" else _class(right)
    return f"<td{faint}>{f'<b>{inside}</b>' if text.bold else inside}</td>"


def _badge(word: str) -> str:
    return f'<span class="badge {escape(word.replace(" ", "-"))}">{escape(word)}</span>'


def _class(right: bool) -> str:
    return " class=number" if right else ""


def _document(title: str, body: str) -> str:
    style, script = (Path(__file__).with_name(name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{escape(title)}</title><style>{style}</style><main>{body}</main><script>{script}</script></html>\n"
    )
