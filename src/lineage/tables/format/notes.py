"""What a reader has to know beside the numbers: runs that were lost or left out, rows that are one experiment."""

from __future__ import annotations

import textwrap
from collections import Counter, defaultdict

from lineage.results.entry import Entry
from lineage.tables import verdicts
from lineage.tables.column import Column
from lineage.tables.table import Table

LONGEST = 100  # characters of an error


def of_rows(table: Table, entries: list[Entry]) -> list[str]:
    """Runs without a result, corrected entries, entries of no row, rows that cannot run."""
    held = verdicts.valid(entries)
    lost = [entry for entry in held if entry.status != "finished" and entry.row in table.rows]
    corrected = Counter(entry.row for entry in entries) - Counter(entry.row for entry in held)
    strange = Counter(entry.row for entry in held if entry.row not in table.rows)
    told = [_lost(row, status, lost) for row, status in sorted({(str(one.row), one.status) for one in lost})]
    told += [f"{row}: {_runs(n)} corrected by a later entry and not counted" for row, n in corrected.items()]
    told += [f"{row}: the table has no such row any more; {_runs(n)} not shown" for row, n in strange.items()]
    told += [f"{row.name}: {row.unsupported}" for row in table.rows.values() if row.unsupported]
    if not entries and any(row.runs for row in table.rows.values()):
        told.append(f"Nothing has run yet: `lineage run {table.name} --tier mini --plan` says what it takes.")
    return told


def of_columns(shown: list[Column]) -> list[str]:
    """Runs of an earlier config, rows that repeat each other, tests that differ."""
    older = {(name, ours.older): None for column in shown for name, ours in column.ours.items() if ours.older}
    told = [f"{name}: {_runs(n)} left out, of a config that the row had earlier" for name, n in older]
    settings = list(dict.fromkeys(column.where for column in shown if column.where))
    for where in settings:
        same = [" = ".join(rows) for rows in twins([column for column in shown if column.where == where])]
        if same:
            told.append(f"Rows that are one experiment at tier {where.tier}, so that it tells nothing about their "
                        f"difference: {'; '.join(same)}")  # fmt: skip
    if len({str(where) for where in settings}) < len(settings):
        told.append("Tests of other images or rules than these are not comparable and stand apart; "
                    "`lineage why A B` of two entries says what differs")  # fmt: skip
    return told


def twins(columns: list[Column]) -> list[list[str]]:
    """The rows that ran the same experiment, of the columns of one setting."""
    recipes: dict[str, dict[str, None]] = defaultdict(dict)
    for column in columns:
        for name, ours in column.ours.items():
            recipes[ours.recipe][name] = None
    return [list(rows) for recipe, rows in recipes.items() if recipe and len(rows) > 1]


def _lost(row: str, status: str, lost: list[Entry]) -> str:
    """How many, and how the newest ended."""
    found = [entry for entry in lost if (entry.row, entry.status) == (row, status)]
    newest = max(found, key=lambda entry: entry.id)
    why = f": {textwrap.shorten(newest.error, LONGEST, placeholder=' ...')}" if newest.error else ""
    return f"{row}: {len(found)} {status} run{'s' * (len(found) > 1)}{why} (lineage show {newest.id[-6:]})"


def _runs(n: int) -> str:
    return f"{n} run is" if n == 1 else f"{n} runs are"
