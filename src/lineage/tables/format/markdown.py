"""A table as Markdown: one line per row, no padding, so that a changed number is a changed line."""

from __future__ import annotations

from lineage.tables.format.view import CellText, Section, TableView


def render_markdown(view: TableView) -> str:
    parts = [f"## {view.title}", "", view.message, ""]
    for block in view.blocks:
        parts += [f"### {block.title}", ""]
        for section in block.sections:
            parts += [section.title, "", *_render_section(section), ""]
    parts += [f"- {note}" for note in view.notes] + ([""] if view.notes else [])
    return "\n".join([*parts, f"{view.source} `{view.name}`"]) + "\n"


def _render_section(section: Section) -> list[str]:
    flush = [any(line[i].number for line in section.body) for i in range(len(section.head))]
    rule = ["---:" if right else "---" for right in flush]
    rows = [section.head, tuple(rule), *(tuple(map(_escape, line)) for line in section.body)]
    return [f"| {' | '.join(row)} |" for row in rows]


def _escape(cell: CellText) -> str:
    plain = cell.text.replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;")
    return f"**{plain}**" if cell.bold else plain
