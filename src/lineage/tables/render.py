"""A judged table as text: aligned for a terminal, CSV for a machine."""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from lineage.tables import judge
from lineage.tables.entry import Entry
from lineage.tables.sheet import EMPTY, Column, Section, Sheet, Text, columns
from lineage.tables.table import Table

WIDTH = 100  # of a terminal
LABEL = 30
COLOURS = {
    judge.REPRODUCED: 32,
    judge.CONTRADICTED: 31,
    judge.FAILED: 31,
    judge.UNDERPOWERED: 33,
    judge.OFF_PROTOCOL: 36,
    judge.MISSING: 90,
}


@dataclass(frozen=True)
class Grid:
    """A table of strings, however it is printed."""

    head: Sequence[str]
    body: Sequence[Sequence[str]]


def terminal(sheet: Sheet, colour: bool = False) -> str:
    """At most WIDTH columns where the labels allow it; the sentence at the end of a line is wrapped below it."""
    parts = [f"{sheet.name}  {sheet.title}", *textwrap.wrap(sheet.message, WIDTH)]
    for block in sheet.blocks:
        parts += ["", block.title, *(f"\n{section.title}\n{_printed(section, colour)}" for section in block.sections)]
    notes = [line for note in sheet.notes for line in textwrap.wrap(note, WIDTH)]
    return "\n".join([*parts, "", *notes, *textwrap.wrap(f"{sheet.source}", WIDTH)]) + "\n"


def _printed(section: Section, colour: bool) -> str:
    """A sentence in the last column, which no number is, stands on a line of its own below its row."""
    sentence = not any(line[-1].number for line in section.body)
    head = section.head[:-1] if sentence else section.head
    shown = [[_label(text) for text in line[: len(head)]] for line in section.body]
    printed = aligned(Grid(head, shown), colour).split("\n")
    if not sentence:
        return "\n".join(printed)
    below = [textwrap.indent("\n".join(textwrap.wrap(line[-1].text, WIDTH - 4)), "    ") for line in section.body]
    rows = [f"{row}\n{said}" if said else row for row, said in zip(printed[1:], below, strict=True)]
    return "\n".join([printed[0], *rows])


def _label(text: Text) -> str:
    plain = text.text if text.number or text.verdict else textwrap.shorten(text.text, LABEL, placeholder=" ...")
    return f"{plain} (best)" if text.bold else plain


CSV = ("table", "row", "tier", "deviations", "metric", "n", "mean", "sd", "published", "difference", "verdict",
       "vs_baseline", "p", "best")  # fmt: skip


def comma_separated(table: Table, entries: list[Entry]) -> str:
    """One line per cell and setting, numbers in full; costs too, without a verdict."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV)
    for column, words in columns(table, judge.valid(entries)):
        writer.writerows(_record(column, name, words.get(name, "")) for name in table.rows)
    return out.getvalue()


def _record(column: Column, name: str, word: str) -> list[object]:
    where, ours = column.where, column.ours.get(name)
    at = [where.tier, " ".join(where.deviations)] if where else ["", ""]
    values = [ours.n, ours.mean, ours.sd] if ours else [0, None, None]
    row, against = column.table.rows[name], column.against().get(name)
    delta = [against.difference, against.p] if against else [None, None]
    published = row.published.get(column.metric)
    told = [published, column.difference(row), word if word != EMPTY else "", *delta]
    return [column.table.name, name, *at, column.metric, *values, *told, int(name == column.best())]


def aligned(grid: Grid, colour: bool = False) -> str:
    """Columns padded to their widest cell; a column of numbers is flushed right."""
    columns = list(zip(grid.head, *grid.body, strict=True))
    widths = [max(map(len, column)) for column in columns]
    right = [all(_numeric(cell) for cell in column[1:]) for column in columns]
    rows = [
        "  ".join(
            cell.rjust(width) if flush else cell.ljust(width)
            for cell, width, flush in zip(row, widths, right, strict=True)
        )
        for row in (grid.head, *grid.body)
    ]
    return "\n".join(_coloured(row.rstrip()) if colour else row.rstrip() for row in rows)


def _numeric(cell: str) -> bool:
    """A number, perhaps with its spread and a star."""
    if cell in (EMPTY, "baseline"):
        return True
    first = cell.removesuffix(" (best)").rstrip("*").partition(" ± ")[0]
    return first.lstrip("+-").replace(".", "", 1).isdigit()


def _coloured(row: str) -> str:
    """Colours the verdict word where it stands between two gaps."""
    for word, code in COLOURS.items():
        row = row.replace(f"  {word}", f"  \x1b[{code}m{word}\x1b[0m", 1)
    return row
