"""What the store holds: a line per table and setting, with the verdicts of that table, and a line per free run."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from lineage.results import cache, store
from lineage.results.entry import Entry
from lineage.tables import read, verdicts
from lineage.tables.column import EMPTY, QUOTED, columns
from lineage.tables.format.terminal import Grid, aligned
from lineage.tables.table import Table
from lineage.tables.verdicts import Setting

RECENT = 10
HEADLINE = ("mask/AP", "box/AP", "keypoint/AP")
HEAD = ("table", "tier", "rows", "runs", "claims", "numbers")


def overview(experiments: Path, results: Path, everything: bool, paper: str = "") -> str:
    """Tables that have runs, or all, and the newest free runs; of one paper, its tables alone."""
    names = [name for name in read.names(experiments) if name.startswith(f"{paper}/" if paper else "")]
    found = {name: cache.contents(results / name) for name in names}
    held = {name: one.entries for name, one in found.items()}
    shown = [name for name, entries in held.items() if entries or everything]
    body = [line for name in shown for line in lines(read.load(experiments, name), held[name])]
    parts = [aligned(Grid(HEAD, body))] if body else []
    if not shown:
        parts.append(f"{results} has no run of any table. `lineage run TABLE --tier mini --plan` says what one costs,\n"
                     "`lineage table --all` which tables there are.")  # fmt: skip
    elif len(shown) < len(held):
        parts.append(f"Tables without a run: {len(held) - len(shown)}; `lineage table --all` lists them.")
    if damaged := sum(len(one.damaged) for one in found.values()):
        parts.append(f"Files that cannot be read: {damaged}; `lineage store verify` names them.")
    if everything:
        parts.append(coverage([read.load(experiments, name) for name in held]))
    if paper:
        return "\n".join(parts)
    parts.append(free_runs(cache.contents(results / store.SCRATCH).entries))
    return "\n".join(parts)


def lines(table: Table, entries: list[Entry]) -> list[list[str]]:
    """The words are those of the table itself; a claim that was judged in no setting counts in the first line."""
    held = verdicts.valid(entries)
    shown, claimed = columns(table, held), verdicts.judge_effects(table, held)
    body = []
    settings = list(dict.fromkeys(column.where for column in shown))
    for where in settings:
        there = [column for column in shown if column.where == where]
        numbers = Counter(word for column in there for word in column.words.values() if word not in (EMPTY, QUOTED))
        ran = {name for column in there for name in column.ours}
        runs = sum(entry.status == "finished" and verdicts.setting(entry) == where for entry in held)
        told = Counter(one.word for found in claimed for one in found if (one.setting or settings[0]) == where)
        tier = _tier(where) if where else EMPTY
        body.append([table.name, tier, f"{len(ran)} of {_rows(table)}", str(runs), _listed(told), _listed(numbers)])
    return body


def _rows(table: Table) -> int:
    return sum(row.quoted is None for row in table.rows.values())


def _tier(where: Setting) -> str:
    return where.tier if not where.deviations else f"{where.tier} changed"


def _listed(words: Counter[str]) -> str:
    return ", ".join(f"{n} {word}" for word, n in words.most_common()) or EMPTY


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


def _of_run(entry: Entry, shown: list[str]) -> list[str]:
    values = [entry.metrics.get(name) for name in shown]
    numbers = [EMPTY if value is None else f"{value:.1f}" for value in values]
    model = entry.choices.get("model", EMPTY)
    return [entry.id, model, *numbers, entry.status, entry.tier, str(entry.seed), " ".join(entry.deviations) or EMPTY]
