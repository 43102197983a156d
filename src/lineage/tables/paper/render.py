"""The page of a paper for a terminal, as Markdown and as HTML."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Sequence
from html import escape

from lineage.results.foreign_text import escape_markdown
from lineage.tables.format.html import wrap_document
from lineage.tables.format.terminal import Grid, align
from lineage.tables.paper.document import Bullets, Element, Heading, Item, Lines, Paragraph
from lineage.tables.paper.status import Status

WIDEST = 110
CODE = re.compile(r"`([^`]+)`")
CSS_CLASS = {  # of the words of verdicts, whose colours they share
    Status.SHOWN_AT_PAPER: "reproduced",
    Status.SHOWN_SMALL: "same-sign",
    Status.CONTRADICTED: "contradicted",
    Status.OPEN: "underpowered",
}
STYLE = (
    "<style>ul.claims{list-style:none;padding:0}ul.claims li{margin:7px 0}h3{font-size:15px;margin:22px 0 4px}</style>"
)


def render_terminal(document: Sequence[Element], width: int | None = None) -> str:
    width = min(WIDEST, width or shutil.get_terminal_size((WIDEST, 24)).columns)
    parts: list[str] = []
    for element in document:
        match element:
            case Heading(text, level):
                rule = "=" if level == 1 else "-"
                parts.append(
                    f"\n{textwrap.fill(text, width)}" + (f"\n{rule * min(width, len(text))}" if level < 3 else "")
                )
            case Paragraph(text):
                parts.append(textwrap.fill(text, width))
            case Bullets(items):
                parts += [_wrap_item(item, width) for item in items]
            case Lines(head, body):
                parts.append(align(Grid(head, body)))
    return "\n".join(parts).lstrip("\n") + "\n"


def _wrap_item(item: Item, width: int) -> str:
    mark = f"[{item.mark}] " if item.mark else ""
    return textwrap.fill(mark + item.text, width, initial_indent="  ", subsequent_indent="      ")


def render_markdown(document: Sequence[Element]) -> str:
    parts: list[str] = []
    for element in document:
        match element:
            case Heading(text, level):
                parts.append(f"{'#' * level} {escape_markdown(text)}\n")
            case Paragraph(text):
                parts.append(f"{escape_markdown(text)}\n")
            case Bullets(items):
                marks = [f"**{item.mark}** " if item.mark else "" for item in items]
                lines = [f"- {mark}{escape_markdown(item.text)}" for mark, item in zip(marks, items, strict=True)]
                parts.append("\n".join(lines) + "\n")
            case Lines(head, body):
                rows = [head, ["---"] * len(head), *body]
                parts.append("\n".join(f"| {' | '.join(map(_escape_cell, row))} |" for row in rows) + "\n")
    return "\n".join(parts)


def _escape_cell(text: str) -> str:
    return escape_markdown(text).replace("|", "\\|")


def render_html(document: Sequence[Element]) -> str:
    """Return a self-contained page."""
    title = next((element.text for element in document if isinstance(element, Heading)), "")
    return wrap_document(title, STYLE + "".join(map(_render_element, document)))


def _escape_html(text: str) -> str:
    """Return a text as HTML shows it; what stands in backticks is code."""
    return CODE.sub(r"<code>\1</code>", escape(text))


def _render_element(element: Element) -> str:
    match element:
        case Heading(text, level):
            return f"<h{level}>{_escape_html(text)}</h{level}>"
        case Paragraph(text):
            return f"<p>{_escape_html(text)}</p>"
        case Bullets(items):
            return f"<ul class=claims>{''.join(map(_render_item, items))}</ul>"
        case Lines(head, body):
            top = "".join(f"<th tabindex=0>{escape(name)}</th>" for name in head)
            rows = "".join(f"<tr>{''.join(f'<td>{_escape_html(text)}</td>' for text in row)}</tr>" for row in body)
            table = f"<table class=sortable><thead><tr>{top}</tr></thead><tbody>{rows}</tbody></table>"
            return f"<div class=wide>{table}</div>"


def _render_item(item: Item) -> str:
    if not item.mark:
        return f"<li>{_escape_html(item.text)}</li>"
    style = CSS_CLASS[Status(item.mark)]
    return f'<li><span class="badge {style}">{escape(item.mark)}</span> {_escape_html(item.text)}</li>'
