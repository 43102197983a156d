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
from lineage.tables.column import Column, Delta, build_columns
from lineage.tables.format.view import PRINTED, Section, TableView
from lineage.tables.numbers import EMPTY
from lineage.tables.samples import drop_superseded
from lineage.tables.table import Table
from lineage.tables.verdicts import Background

WIDEST, NARROWEST = 100, 60  # lines longer than that are hard to read
LABEL = 12  # characters of a row's label that are printed in any case
COLOURS = {
    verdicts.REPRODUCED: 32,
    verdicts.SAME_SIGN: 32,
    verdicts.NO_DIFFERENCE: 32,
    verdicts.CONTRADICTED: 31,
    verdicts.OPPOSITE_SIGN: 31,
    verdicts.DIFFERENCE: 31,
    verdicts.NOT_LEARNED: 33,
    verdicts.NO_VERDICT: 90,
    verdicts.FAILED: 31,
    verdicts.NOT_MEASURED: 33,
    verdicts.UNDERPOWERED: 33,
    verdicts.SAME_RUN: 35,
    verdicts.OFF_PROTOCOL: 36,
    verdicts.MISSING: 90,
}


@dataclass(frozen=True, slots=True)
class Grid:
    """A table of strings, however it is printed."""

    head: Sequence[str]
    body: Sequence[Sequence[str]]


def render_terminal(view: TableView, colour: bool = False, width: int | None = None) -> str:
    """Print at most `width` columns (default: the terminal's); labels of rows are cut to fit."""
    width = min(WIDEST, max(NARROWEST, width or shutil.get_terminal_size((WIDEST, 24)).columns))
    parts = [f"{view.name}  {view.title}", *textwrap.wrap(view.message, width)]
    for block in view.blocks:
        parts += ["", _bold(block.title, colour)]
        parts += [f"\n{section.title}\n{_render_section(section, colour, width)}" for section in block.sections]
    notes = [textwrap.fill(note, width, subsequent_indent="  ") for note in view.notes]
    return "\n".join([*parts, "", *notes, textwrap.fill(view.source, width)]) + "\n"


def _render_section(section: Section, colour: bool, width: int) -> str:
    if section.has_claims:
        return _render_claims(section, colour, width)
    body = [[f"{cell.text} (best)" if cell.bold else cell.text for cell in line] for line in section.body]
    rest = [max(map(len, column)) + 2 for column in list(zip(section.head, *body, strict=True))[1:]]
    longest = max(LABEL, width - sum(rest))
    for line in body:
        line[0] = _cut(line[0], longest)
    return align(Grid(section.head, body), colour)


def _render_claims(section: Section, colour: bool, width: int) -> str:
    """Print the remark of a claim, which is a sentence, on lines of its own below it."""
    names = [name for name in PRINTED if name in section.head]
    order = [section.head.index(name) for name in names]
    head, *lines = align(Grid(names, [[line[i].text for i in order] for line in section.body]), colour).split("\n")
    remarks = [textwrap.indent(textwrap.fill(line[-1].text, width - 4), "    ") for line in section.body]
    return "\n".join([head, *(text for pair in zip(lines, remarks, strict=True) for text in pair if text)])


def _cut(label: str, longest: int) -> str:
    return label if len(label) <= longest else f"{label[: longest - 3].rstrip()}..."


def _bold(text: str, colour: bool) -> str:
    return f"\x1b[1m{text}\x1b[0m" if colour else text


CSV = ("table", "row", "tier", "deviations", "metric", "n", "mean", "sd", "published", "difference", "verdict",
       "vs_baseline", "p", "best")  # fmt: skip


def render_csv(table: Table, entries: list[Entry], background: Background | None = None) -> str:
    """Return one line per cell and setting, numbers in full; costs too, without a verdict."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV)
    valid = drop_superseded(entries)
    for column in build_columns(table, valid, verdicts.judge(table, valid, background)):
        best, deltas = column.best(), column.deltas()
        writer.writerows(_csv_record(column, name, name == best, deltas.get(name)) for name in table.rows)
    return out.getvalue()


def _csv_record(column: Column, name: str, best: bool, delta: Delta | None) -> list[object]:
    """Return the values of one cell, in the order of CSV."""
    setting, sample = column.setting, column.samples.get(name)
    row, word = column.table.rows[name], column.verdicts.get(name, EMPTY)
    return [
        column.table.name, name,
        *([setting.tier, " ".join(setting.deviations)] if setting else ["", ""]),
        column.metric,
        *([sample.n, sample.mean, sample.sd] if sample else [0, None, None]),
        row.published.get(column.metric), column.difference(row), word if word != EMPTY else "",
        *([delta.difference, delta.p] if delta else [None, None]),
        int(best and not column.cost),
    ]  # fmt: skip


def align(grid: Grid, colour: bool = False) -> str:
    """Pad columns to their widest cell; columns of numbers are flushed right."""
    columns = list(zip(grid.head, *grid.body, strict=True))
    widths = [max(map(len, column)) for column in columns]
    flush = [all(_is_number(cell) for cell in column[1:]) for column in columns]
    lines = (
        "  ".join(_pad(*cell, colour) for cell in zip(line, widths, flush, strict=True))
        for line in (grid.head, *grid.body)
    )
    return "\n".join(line.rstrip() for line in lines)


def _pad(cell: str, width: int, flush: bool, colour: bool) -> str:
    padded = cell.rjust(width) if flush else cell.ljust(width)
    code = COLOURS.get(verdicts.strip_tier(cell)) if colour else None
    return padded.replace(cell, f"\x1b[{code}m{cell}\x1b[0m", 1) if code else padded


def _is_number(cell: str) -> bool:
    """Accept numbers, also with a spread and a star, and the words that stand in the place of one."""
    if cell in (EMPTY, "baseline", verdicts.SAME_RUN):
        return True
    first = cell.partition(" (")[0].rstrip("*").partition(" ± ")[0]
    return first == EMPTY or all(part.replace(".", "", 1).isdigit() for part in first.lstrip("+-").split("+"))
