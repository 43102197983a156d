"""What the store holds, one line per table and per free run."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from lineage.tables import index, judge, read, store
from lineage.tables.cells import lines
from lineage.tables.entry import Entry
from lineage.tables.render import Grid, aligned
from lineage.tables.sheet import EMPTY
from lineage.tables.table import Table

RECENT = 10
HEADLINE = ("mask/AP", "box/AP", "keypoint/AP")


def overview(experiments: Path, results: Path, everything: bool) -> str:
    """Tables that have runs, or all, and the newest free runs."""
    held = {name: index.contents(results / name).entries for name in read.names(experiments)}
    shown = [name for name, entries in held.items() if entries or everything]
    body = [_of_table(read.load(experiments, name), judge.valid(held[name])) for name in shown]
    parts = [aligned(Grid(["table", "rows", "unsupported", "run", "runs", "cells"], body))] if body else []
    if len(shown) < len(held):
        parts.append(f"Tables without a run: {len(held) - len(shown)}; `lineage table --all` lists them.")
    if everything:
        parts.append(coverage([read.load(experiments, name) for name in held]))
    parts.append(free_runs(index.contents(results / store.SCRATCH).entries))
    return "\n".join(parts)


def coverage(tables: list[Table]) -> str:
    """Per paper: how many rows of its tables are ours to run, and how many of these cannot be expressed yet."""
    body = []
    for paper in sorted({table.name.partition("/")[0] for table in tables}):
        rows = [row for table in tables if table.name.startswith(f"{paper}/") for row in table.rows.values()]
        ours = [row for row in rows if row.quoted is None]
        runs = sum(row.runs for row in ours)
        held = sum(table.name.startswith(f"{paper}/") for table in tables)
        share = f"{100 * runs / len(ours):.0f} %" if ours else EMPTY
        body.append([paper, str(held), str(len(ours)), str(len(ours) - runs), share, str(len(rows) - len(ours))])
    head = ["paper", "tables", "rows", "unsupported", "covered", "quoted"]
    return f"\n{aligned(Grid(head, body))}\n"


def free_runs(entries: list[Entry]) -> str:
    """The newest runs that belong to no table."""
    if not entries:
        return "No free runs. `python train.py` makes one.\n"
    newest = sorted(entries, key=lambda entry: entry.id)[-RECENT:]
    shown = [name for name in HEADLINE if any(name in entry.metrics for entry in newest)]
    head = ["free run", "model", *shown, "status", "tier", "seed", "deviations"]
    note = f"the newest {len(newest)} of {len(entries)} free runs; " if len(newest) < len(entries) else ""
    return f"{aligned(Grid(head, [_of_run(entry, shown) for entry in newest]))}\n{note}`lineage show` one by its id\n"


def _of_table(table: Table, entries: list[Entry]) -> list[str]:
    filled = lines(table, entries)
    first = next(iter(table.metrics))
    verdicts = Counter(cell.word for line in filled if (cell := line.cells[first].verdict))
    rows = [line.row for line in filled if line.runs]
    unsupported = sum(row.unsupported is not None for row in table.rows.values())
    words = ", ".join(f"{count} {word}" for word, count in verdicts.items()) or EMPTY
    counts = [len(table.rows), unsupported, len({row.name for row in rows}), len(entries)]
    return [table.name, *map(str, counts), words]


def _of_run(entry: Entry, shown: list[str]) -> list[str]:
    values = [entry.metrics.get(name) for name in shown]
    numbers = [EMPTY if value is None else f"{value:.1f}" for value in values]
    model = entry.choices.get("model", EMPTY)
    return [entry.id, model, *numbers, entry.status, entry.tier, str(entry.seed), " ".join(entry.deviations) or EMPTY]
