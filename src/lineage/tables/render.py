"""A judged table as text: aligned for a terminal, Markdown for a page, CSV for a machine."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from lineage.tables import judge
from lineage.tables.cells import Cell, Line, lines
from lineage.tables.entry import Entry
from lineage.tables.judge import Verdict
from lineage.tables.noise import Sample
from lineage.tables.table import Effect, Table

EMPTY = "-"
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


def terminal(table: Table, entries: list[Entry], colour: bool = False) -> str:
    entries = judge.valid(entries)
    parts = [_title(table), table.message, "", aligned(_grid(table, entries), colour)]
    if table.effects:
        parts += ["", aligned(_effects(table, entries), colour)]
    return "\n".join(parts) + "\n"


def markdown(table: Table, entries: list[Entry]) -> str:
    entries = judge.valid(entries)
    parts = [f"## {_title(table)}", "", table.message, "", *_piped(_grid(table, entries))]
    if table.effects:
        parts += ["", *_piped(_effects(table, entries))]
    return "\n".join([*parts, "", f"Published numbers: {table.source} ({table.confidence})."]) + "\n"


def comma_separated(table: Table, entries: list[Entry]) -> str:
    """One line per cell and setting, numbers in full."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ("table", "row", "tier", "deviations", "metric", "n", "mean", "sd", "published", "difference", "verdict")
    )
    for line in lines(table, judge.valid(entries)):
        for cell in line.cells.values():
            writer.writerow(_record(table, line, cell))
    return out.getvalue()


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


def measured(sample: Sample | None) -> str:
    if sample is None:
        return EMPTY
    return f"{sample.mean:.1f}" if sample.sd is None else f"{sample.mean:.1f} ± {sample.sd:.1f}"


def _grid(table: Table, entries: list[Entry]) -> Grid:
    first, *others = table.metrics
    head = ["row", table.metrics[first], "paper", "diff", "verdict"]
    head += [f"{table.metrics[metric]} / paper" for metric in others] + ["runs", "at"]
    return Grid(head, [_row(line, first, others) for line in lines(table, entries)])


def _row(line: Line, first: str, others: Sequence[str]) -> list[str]:
    cell = line.cells[first]
    word = cell.verdict.word if cell.verdict else EMPTY
    if line.row.unsupported:
        word = "unsupported"
    main = [line.row.name, measured(cell.ours), _number(cell.published), _signed(cell.difference), word]
    rest = [f"{measured(line.cells[metric].ours)} / {_number(line.cells[metric].published)}" for metric in others]
    return [*main, *rest, str(line.runs), str(line.setting or EMPTY)]


def _effects(table: Table, entries: list[Entry]) -> Grid:
    body = []
    for effect in table.effects:
        for verdict in judge.judge_effect(effect, table, entries):
            runs = f"{verdict.ours.n}, {verdict.other.n}" if verdict.ours and verdict.other else "0"
            where = str(verdict.setting or EMPTY)
            body.append(
                [_claimed(effect), effect.metric, _interval(verdict), verdict.word, runs, where, verdict.reason]
            )
    return Grid(["effect", "metric", "ours", "verdict", "runs", "at", ""], body)


def _claimed(effect: Effect) -> str:
    if effect.kind == "equal":
        return f"{effect.better} = {effect.worse}"
    return f"{effect.better} > {effect.worse}" + ("" if effect.gain is None else f" by {effect.gain:.1f}")


def _interval(verdict: Verdict) -> str:
    if verdict.difference is None or verdict.margin is None:
        return _signed(verdict.difference)
    return f"{verdict.difference:+.1f} ± {verdict.margin:.1f}"


def _record(table: Table, line: Line, cell: Cell) -> list[object]:
    where, ours = line.setting, cell.ours
    at = [where.tier, " ".join(where.deviations)] if where else ["", ""]
    values = [ours.n, ours.mean, ours.sd] if ours else [0, None, None]
    word = cell.verdict.word if cell.verdict else ""
    return [table.name, line.row.name, *at, cell.metric, *values, cell.published, cell.difference, word]


def _title(table: Table) -> str:
    return f"{table.name}  {table.label} of {table.paper}"


def _piped(grid: Grid) -> list[str]:
    rule = ["---"] * len(grid.head)
    return [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in (grid.head, rule, *grid.body)]


def _number(value: float | None) -> str:
    return EMPTY if value is None else f"{value:.1f}"


def _signed(value: float | None) -> str:
    return EMPTY if value is None else f"{value:+.1f}"


def _numeric(cell: str) -> bool:
    return cell == EMPTY or cell.lstrip("+-").replace(".", "", 1).isdigit()


def _coloured(row: str) -> str:
    """Colours the verdict word where it stands between two gaps."""
    for word, code in COLOURS.items():
        row = row.replace(f"  {word}", f"  \x1b[{code}m{word}\x1b[0m", 1)
    return row
