"""A table as Markdown: one line per row, no padding, so that a changed number is a changed line."""

from __future__ import annotations

from lineage.tables.format.view import Section, Sheet, Text


def markdown(sheet: Sheet) -> str:
    parts = [f"## {sheet.title}", "", sheet.message, ""]
    for block in sheet.blocks:
        parts += [f"### {block.title}", ""]
        for section in block.sections:
            parts += [section.title, "", *_piped(section), ""]
    parts += [f"- {note}" for note in sheet.notes] + ([""] if sheet.notes else [])
    return "\n".join([*parts, f"{sheet.source} `{sheet.name}`"]) + "\n"


def _piped(section: Section) -> list[str]:
    flush = [any(line[i].number for line in section.body) for i in range(len(section.head))]
    rule = ["---:" if right else "---" for right in flush]
    rows = [section.head, tuple(rule), *(tuple(map(_cell, line)) for line in section.body)]
    return [f"| {' | '.join(row)} |" for row in rows]


def _cell(text: Text) -> str:
    plain = text.text.replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;")
    return f"**{plain}**" if text.bold else plain
