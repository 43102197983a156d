"""A table as Markdown: one line per row, no padding, so that a changed number is a changed line."""

from __future__ import annotations

from lineage.results.foreign_text import escape_markdown
from lineage.tables.format.view import CellText, Section, TableView


def render_markdown(view: TableView) -> str:
    parts = [f"## {escape_markdown(view.title)}", "", escape_markdown(view.message), ""]
    for block in view.blocks:
        parts += [f"### {escape_markdown(block.title)}", ""]
        for section in block.sections:
            parts += [escape_markdown(section.title), "", *_render_section(section), ""]
    parts += [f"- {escape_markdown(note)}" for note in view.notes] + ([""] if view.notes else [])
    return "\n".join([*parts, f"{escape_markdown(view.source)} `{view.name}`"]) + "\n"


def _render_section(section: Section) -> list[str]:
    flush = [any(line[i].number for line in section.body) for i in range(len(section.head))]
    rule = ["---:" if right else "---" for right in flush]
    head = tuple(map(escape_markdown, section.head))
    rows = [head, tuple(rule), *(tuple(map(_escape, line)) for line in section.body)]
    return [f"| {' | '.join(row)} |" for row in rows]


def _escape(cell: CellText) -> str:
    plain = escape_markdown(cell.text).replace("|", "\\|").replace("*", "\\*")
    return f"**{plain}**" if cell.bold else plain
