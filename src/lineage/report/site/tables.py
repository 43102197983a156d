"""Tables and pages of papers as JSON: the strings of `lineage table` and `lineage paper`, each cell with its runs."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from lineage.report.site.parts import SiteWriter
from lineage.results.entry import Entry
from lineage.tables import read, verdicts
from lineage.tables.column import build_columns
from lineage.tables.format.load import FilledTable, TableLoader
from lineage.tables.format.view import CLAIMS, COSTS, CellText, Section, TableView, build_view
from lineage.tables.paper.document import Bullets, Element, Heading, Lines, Paragraph, write_document
from lineage.tables.paper.page import build_page, list_papers
from lineage.tables.samples import Setting, drop_superseded, group_finished
from lineage.tables.verdicts import strip_tier

DescribeNotes = Callable[[FilledTable], Iterable[str]]
Cell = list[Any]  # text, flags: "b" bold, "v" verdict, "n" number


@dataclass(frozen=True, slots=True)
class TableSource:
    """Everything that tables are filled from."""

    loader: TableLoader
    describe_notes: DescribeNotes = lambda filled: ()


def write_tables(writer: SiteWriter, source: TableSource, entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Add a part per table and return a summary of each."""
    experiments = source.loader.experiments
    ids = {name: [entry.id for entry in entries if entry.table == name] for name in {entry.table for entry in entries}}
    summaries = []
    for name in read.list_readable(experiments):
        table = read.load_table(experiments, name)
        filled = source.loader.load(name) if name in ids else FilledTable(table, [])
        view = build_view(filled.table, filled.entries, filled.background, source.describe_notes(filled))
        writer.add(f"table/{name}", lambda view=view, filled=filled: describe_table(view, filled))  # type: ignore[misc]
        summaries.append(
            {
                "name": name,
                "paper": table.paper,
                "label": table.label,
                "message": table.message,
                "rows": len(table.rows),
                "runs": len(ids.get(name, [])),
                "words": dict(_count_verdicts(view)),
            }
        )
    return summaries


def write_papers(writer: SiteWriter, source: TableSource, entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Add a part per paper, oldest first, and return a summary of each."""
    summaries = []
    for name in list_papers(source.loader.experiments):
        page = build_page(source.loader, name)
        writer.add(f"paper/{name}", lambda page=page: [_describe_element(element) for element in write_document(page)])  # type: ignore[misc]
        runs = sum(entry.table is not None and entry.table.startswith(f"{name}/") for entry in entries)
        summaries.append({"name": name, "title": page.title, "arxiv": page.arxiv, "runs": runs})
    return summaries


def describe_table(view: TableView, filled: FilledTable) -> dict[str, Any]:
    """Return a table as `lineage table` prints it, with the ids of the runs behind each line."""
    valid = drop_superseded(filled.entries)
    judgement = verdicts.judge(filled.table, valid, filled.background)
    columns = build_columns(filled.table, valid, judgement)
    settings = list(dict.fromkeys(column.setting for column in columns))
    runs = group_finished(valid)
    blocks = []
    for block, setting in zip(view.blocks, [*settings, None], strict=False):
        is_claims = block.title == CLAIMS
        ids = _claim_runs(filled, judgement, runs) if is_claims else _row_runs(filled, setting, runs)
        sections = [
            {
                "title": section.title,
                "head": section.head,
                "body": [list(map(_describe_cell, line)) for line in section.body],
                "runs": ids,
                "kind": "claims" if is_claims else "costs" if section.title.startswith(COSTS) else "metric",
            }
            for section in block.sections
        ]
        blocks.append({"title": block.title, "sections": sections})
    return {
        "name": view.name, "title": view.title, "message": view.message, "blocks": blocks, "notes": view.notes,
        "source": view.source, "arxiv": filled.table.arxiv, "kind": filled.table.kind,
        "rows": list(filled.table.rows),
    }  # fmt: skip


Finished = dict[str | None, dict[Setting, list[Entry]]]


def _row_runs(filled: FilledTable, setting: Setting | None, runs: Finished) -> list[list[str]]:
    """Return the ids of the runs of each row in a setting."""
    return [
        [entry.id for entry in runs.get(name, {}).get(setting, [])] if setting else [] for name in filled.table.rows
    ]


def _claim_runs(filled: FilledTable, judgement: verdicts.Judgement, runs: Finished) -> list[list[str]]:
    """Return the ids of the runs of both rows of each claim and setting."""
    listed = []
    for effect, judged in zip(filled.table.effects, judgement.effects, strict=True):
        for verdict in judged:
            pair = (effect.better, effect.worse) if verdict.setting else ()
            listed.append([entry.id for row in pair for entry in runs.get(row, {}).get(verdict.setting, [])])  # type: ignore[arg-type]
    return listed


def _describe_cell(cell: CellText) -> Cell:
    flags = ("b" if cell.bold else "") + ("v" if cell.verdict else "") + ("n" if cell.number else "")
    word = strip_tier(cell.text) if cell.verdict else ""
    return [cell.text, flags, word] if word else [cell.text, flags]


def _count_verdicts(view: TableView) -> Counter[str]:
    sections: list[Section] = [section for block in view.blocks for section in block.sections]
    cells = (cell for section in sections for line in section.body for cell in line)
    return Counter(cell.text for cell in cells if cell.verdict and cell.text != "-")


def _describe_element(element: Element) -> dict[str, Any]:
    match element:
        case Heading(text, level):
            return {"heading": text, "level": level}
        case Paragraph(text):
            return {"text": text}
        case Bullets(items):
            return {"items": [[str(item.text), str(item.mark)] for item in items]}
        case Lines(head, body):
            return {"head": list(head), "body": [list(line) for line in body]}
    raise TypeError(f"a page has no element {element!r}")


def digest_ids(entries: Iterable[Entry]) -> str:
    """Return a digest of which entries there are."""
    return hashlib.sha256("\n".join(sorted(entry.id for entry in entries)).encode()).hexdigest()[:16]
