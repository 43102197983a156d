"""The notes below a table: runs that were lost or left out, rows that are one experiment."""

from __future__ import annotations

import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from lineage.results import git_state
from lineage.results.count_noun import count_noun
from lineage.results.entry import Entry
from lineage.tables.column import Column
from lineage.tables.current import EarlierRuns
from lineage.tables.samples import Setting, drop_superseded, find_left_out, find_repetitions
from lineage.tables.table import Table
from lineage.tables.tiers import PAPER
from lineage.tables.verdicts import Judgement

NUMBERS = "Published numbers are compared with the noise of seeds, ours and that of the published run."
LONGEST = 100  # characters of an error


def describe_rows(table: Table, entries: list[Entry]) -> list[str]:
    """Return notes on runs without a result, corrected entries, entries of unknown rows, and rows that cannot run."""
    valid = drop_superseded(entries)
    lost = [entry for entry in valid if entry.status != "finished" and entry.row in table.rows]
    corrected = Counter(entry.row for entry in entries) - Counter(entry.row for entry in valid)
    unknown = Counter(entry.row for entry in valid if entry.row not in table.rows)
    notes = [
        _describe_lost(row, status, lost) for row, status in sorted({(str(entry.row), entry.status) for entry in lost})
    ]
    notes += [f"{row}: {_count_runs(n)} corrected by a later entry and not counted" for row, n in corrected.items()]
    notes += [f"{row}: the table has no such row any more; {_count_runs(n)} not shown" for row, n in unknown.items()]
    notes += [
        _describe_repetition(*repetition) for repetition in find_repetitions(valid) if repetition[0] in table.rows
    ]
    notes += [f"{row}: {_count_runs(len(runs))} left out, of another config or other training images than most"
              for row, _, runs in find_left_out(valid) if row in table.rows]  # fmt: skip
    notes += [f"{row.name}: {row.unsupported}" for row in table.rows.values() if row.unsupported]
    notes += quote_notes(table)
    notes += describe_deviations(table)
    if not entries and any(row.runs for row in table.rows.values()):
        tier = " --tier mini" if table.tier == PAPER else ""  # a small table runs at its own
        notes.append(f"No run counts yet: `lineage run {table.name}{tier} --plan` says what it takes.")
    return notes


def quote_notes(table: Table) -> list[str]:
    """Return what the file says under `note`: of the table, then of its rows."""
    of_rows = [f"{row.name}: {row.note}" for row in table.rows.values() if row.note]
    return [table.note, *of_rows] if table.note else of_rows


def describe_earlier(earlier: Iterable[EarlierRuns]) -> list[str]:
    """Return a note on the runs of each earlier config of a row, with the first difference."""
    return [
        f"{runs.row}: {_count_runs(len(runs.ids))} of an earlier config at tier {runs.tier} and not counted: "
        f"{runs.reason} (lineage show {runs.ids[-1][-6:]})"
        for runs in earlier
    ]


def describe_code(entries: Iterable[Entry], root: Path) -> list[str]:
    """Return a note per tier on the commits of its finished runs, and whether the code has changed since."""
    tiers: dict[str, set[str]] = defaultdict(set)
    for entry in entries:
        if entry.status == "finished" and entry.row is not None:
            tiers[entry.tier].add(entry.commit or "")
    return [_describe_commits(tier, commits, root) for tier, commits in sorted(tiers.items())]


def _describe_commits(tier: str, commits: set[str], root: Path) -> str:
    ordered = git_state.order_commits(root, commits - {""})
    ends = " to ".join(dict.fromkeys(commit[:7] for commit in (ordered[:1] + ordered[-1:])))
    parts = [f"Runs at tier {tier} are of {f'{len(ordered)} commits, {ends}' if len(ordered) > 1 else f'commit {ends}'}"
             if ordered else f"Runs at tier {tier} are of no commit that this checkout has"]  # fmt: skip
    unknown = len(commits) - len(ordered)
    if ordered and unknown:
        parts.append(f"{unknown} of other commits or of none")
    changed = git_state.count_changes(root, ordered[0]) if ordered else None
    if changed:
        parts.append(
            f"since the first, {count_noun(changed, 'file')} of src/lineage/(models, ops, eval, data, train) changed"
        )
    return "; ".join(parts) + "."


def describe_deviations(table: Table) -> list[str]:
    """Return a note per setting of the source that rows differ from, with the rows if these are not all."""
    rows_of: dict[tuple[str, str], list[str]] = defaultdict(list)
    rows = [row for row in table.rows.values() if row.runs]
    for row in rows:
        for deviation in row.deviates.items():
            rows_of[deviation].append(row.name)
    where = {deviation: f" ({', '.join(names)})" for deviation, names in rows_of.items() if len(names) < len(rows)}
    return [f"deviates: {key}{where.get((key, text), '')}: {text}" for key, text in rows_of]


def describe_columns(columns: list[Column]) -> list[str]:
    """Return notes on rows that repeat each other, and tests that differ."""
    notes = []
    settings = list(dict.fromkeys(column.setting for column in columns if column.setting))
    for setting in settings:
        groups = find_repeated_rows([column for column in columns if column.setting == setting])
        if groups:
            rows = "; ".join(" = ".join(group) for group in groups)
            notes.append(f"Rows that are one experiment at tier {setting.tier}, so that it tells nothing about their "
                         f"difference: {rows}")  # fmt: skip
    if len({str(setting) for setting in settings}) < len(settings):
        notes.append("Tests of other images or rules than these are not comparable and stand apart; "
                     "`lineage why A B` of two entries says what differs")  # fmt: skip
    return notes


def describe_families(judgement: Judgement) -> list[str]:
    """Return how many questions are corrected together."""
    sizes = [f"{family.size}{f' with {family.name}' if family.name else ''}" for family in judgement.families]
    if not sizes:
        return []
    notes = [NUMBERS] if any(verdict.noise for verdict in judgement.numbers) else []
    questions = "question" if sizes == ["1"] else "questions"
    families = f"{len(sizes)} families of {', '.join(sizes)}" if len(sizes) > 1 else sizes[0]
    over = "over tiers, relations and numbers, and for a reading after every seed"
    return [*notes, f"Corrected together: {families} {questions}, {over}."]


def find_repeated_rows(columns: list[Column]) -> list[list[str]]:
    """Return groups of rows that ran the same experiment; the columns are those of one setting."""
    cells: dict[str, dict[str, None]] = defaultdict(dict)
    for column in columns:
        for name, sample in column.samples.items():
            cells[sample.cell][name] = None
    return [list(rows) for cell, rows in cells.items() if cell and len(rows) > 1]


def _describe_lost(row: str, status: str, lost: list[Entry]) -> str:
    """Return the number of lost runs of a row, and the error of the newest."""
    entries = [entry for entry in lost if (entry.row, entry.status) == (row, status)]
    newest = max(entries, key=lambda entry: entry.id)
    why = f": {textwrap.shorten(newest.error, LONGEST, placeholder=' ...')}" if newest.error else ""
    return f"{row}: {count_noun(len(entries), f'{status} run')}{why} (lineage show {newest.id[-6:]})"


def _describe_repetition(row: object, setting: Setting, seed: int, runs: list[Entry]) -> str:
    return f"{row}: seed {seed} ran {len(runs)} times at tier {setting.tier}; the mean of these runs counts as the seed"


def _count_runs(n: int) -> str:
    return f"{n} run is" if n == 1 else f"{n} runs are"
