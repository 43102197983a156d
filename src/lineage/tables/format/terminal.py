"""A judged table as text: aligned for a terminal, CSV for a machine."""

from __future__ import annotations

import csv
import io
import shutil
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from lineage.results.entry import Entry
from lineage.tables import verdicts
from lineage.tables.column import EMPTY, Column, Delta, columns
from lineage.tables.format.view import CLAIM_HEAD, PRINTED, Section, Sheet
from lineage.tables.table import Table

WIDEST, NARROWEST = 100, 60  # lines longer than that are hard to read
LABEL = 12  # characters of a row's label that are left in any case
COLOURS = {
    verdicts.REPRODUCED: 32,
    verdicts.CONTRADICTED: 31,
    verdicts.FAILED: 31,
    verdicts.UNDERPOWERED: 33,
    verdicts.SAME_RUN: 35,
    verdicts.OFF_PROTOCOL: 36,
    verdicts.MISSING: 90,
}


@dataclass(frozen=True)
class Grid:
    """A table of strings, however it is printed."""

    head: Sequence[str]
    body: Sequence[Sequence[str]]


def terminal(sheet: Sheet, colour: bool = False, width: int | None = None) -> str:
    """As wide as the terminal; labels are cut where they have to be."""
    width = min(WIDEST, max(NARROWEST, width or shutil.get_terminal_size((WIDEST, 24)).columns))
    parts = [f"{sheet.name}  {sheet.title}", *textwrap.wrap(sheet.message, width)]
    for block in sheet.blocks:
        parts += ["", _bold(block.title, colour)]
        parts += [f"\n{section.title}\n{_printed(section, colour, width)}" for section in block.sections]
    notes = [textwrap.fill(note, width, subsequent_indent="  ") for note in sheet.notes]
    return "\n".join([*parts, "", *notes, textwrap.fill(sheet.source, width)]) + "\n"


def _printed(section: Section, colour: bool, width: int) -> str:
    if section.head == CLAIM_HEAD:
        return _claims(section, colour, width)
    body = [[f"{text.text} (best)" if text.bold else text.text for text in line] for line in section.body]
    rest = [max(map(len, column)) + 2 for column in list(zip(section.head, *body, strict=True))[1:]]
    longest = max(LABEL, width - sum(rest))
    for line in body:
        line[0] = _cut(line[0], longest)
    return aligned(Grid(section.head, body), colour)


def _claims(section: Section, colour: bool, width: int) -> str:
    """What is missing is a sentence, and stands below its claim."""
    at = [CLAIM_HEAD.index(name) for name in PRINTED]
    printed = aligned(Grid(PRINTED, [[line[i].text for i in at] for line in section.body]), colour).split("\n")
    below = [textwrap.indent(textwrap.fill(line[-1].text, width - 4), "    ") for line in section.body]
    rows = [f"{row}\n{said}" if said else row for row, said in zip(printed[1:], below, strict=True)]
    return "\n".join([printed[0], *rows])


def _cut(label: str, longest: int) -> str:
    return label if len(label) <= longest else f"{label[: longest - 3].rstrip()}..."


def _bold(text: str, colour: bool) -> str:
    return f"\x1b[1m{text}\x1b[0m" if colour else text


CSV = ("table", "row", "tier", "deviations", "metric", "n", "mean", "sd", "published", "difference", "verdict",
       "vs_baseline", "p", "best")  # fmt: skip


def comma_separated(table: Table, entries: list[Entry]) -> str:
    """One line per cell and setting, numbers in full; costs too, without a verdict."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV)
    for column in columns(table, verdicts.valid(entries)):
        best, against = column.best(), column.against()
        writer.writerows(_record(column, name, name == best, against.get(name)) for name in table.rows)
    return out.getvalue()


def _record(column: Column, name: str, best: bool, against: Delta | None) -> list[object]:
    where, ours = column.where, column.ours.get(name)
    at = [where.tier, " ".join(where.deviations)] if where else ["", ""]
    values = [ours.n, ours.mean, ours.sd] if ours else [0, None, None]
    row, word = column.table.rows[name], column.words.get(name, EMPTY)
    delta = [against.difference, against.p] if against else [None, None]
    told = [row.published.get(column.metric), column.difference(row), word if word != EMPTY else "", *delta]
    return [column.table.name, name, *at, column.metric, *values, *told, int(best and not column.cost)]


def aligned(grid: Grid, colour: bool = False) -> str:
    """Columns padded to their widest cell; a column of numbers is flushed right."""
    columns = list(zip(grid.head, *grid.body, strict=True))
    widths = [max(map(len, column)) for column in columns]
    right = [all(_numeric(cell) for cell in column[1:]) for column in columns]
    lines = (
        "  ".join(_padded(*cell, colour) for cell in zip(row, widths, right, strict=True))
        for row in (grid.head, *grid.body)
    )
    return "\n".join(line.rstrip() for line in lines)


def _padded(cell: str, width: int, flush: bool, colour: bool) -> str:
    padded = cell.rjust(width) if flush else cell.ljust(width)
    code = COLOURS.get(cell) if colour else None
    return padded.replace(cell, f"\x1b[{code}m{cell}\x1b[0m", 1) if code else padded


def _numeric(cell: str) -> bool:
    """A number, perhaps with its spread and a star, or a word that stands where a number would."""
    if cell in (EMPTY, "baseline", verdicts.SAME_RUN):
        return True
    first = cell.partition(" (")[0].rstrip("*").partition(" ± ")[0]
    return first == EMPTY or first.lstrip("+-").replace(".", "", 1).isdigit()
