"""Entries that count for a row as its file says it now, and those of an earlier config.

A row's cell has a digest (config/digests.py). An entry counts if it has the same; a changed table, model or schedule
thus leaves its old results out, whatever is newest in the store; a run of another code base never counts. Where a
digest says nothing, because the run deviates from its row by keys that were typed or is older than cells, the configs
themselves are compared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from lineage.results import diff
from lineage.results.entry import Entry
from lineage.results.key_roles import Role, keys_with
from lineage.results.overrides import Override
from lineage.tables.table import Table

READ_LATER = "???"  # a value that a run reads from its dataset; in some datasets null
PARENT_CHANGED = "a row whose result it uses has changed"
ReadEntry = Callable[[Entry], Entry]  # an entry of the index -> all of it


class RowAtTier(NamedTuple):
    row: str
    tier: str


@dataclass(frozen=True, slots=True)
class CurrentCell:
    """A row at a tier as its file says it now."""

    cell_digest: str
    config: Mapping[str, Any]  # resolved
    error: str | None = None  # the reason why it does not compose


FindCurrent = Callable[[Table, Iterable[RowAtTier]], Mapping[RowAtTier, CurrentCell]]


@dataclass(frozen=True, slots=True)
class EarlierRuns:
    """Finished runs of a row in one earlier config."""

    row: str
    tier: str
    ids: tuple[str, ...]
    reason: str  # the first difference to the row as it is now


def split_entries(
    table: Table, entries: list[Entry], find_current: FindCurrent, read_entry: ReadEntry
) -> tuple[list[Entry], list[EarlierRuns]]:
    """Return the entries that count, and the finished runs of earlier configs; those of unknown rows are kept."""
    # 1. Entries that are alike in all that decides.
    groups: dict[tuple[RowAtTier, tuple[str, ...], str], list[Entry]] = defaultdict(list)
    counting: list[Entry] = []
    for entry in entries:
        if entry.origin:  # its place is below results/foreign
            continue
        if entry.row not in table.rows:
            counting.append(entry)
            continue
        groups[RowAtTier(entry.row, entry.tier), tuple(entry.deviations), entry.cell_digest].append(entry)
    # 2. The rows as they are now.
    cells = find_current(table, dict.fromkeys(row for row, _, _ in groups))
    earlier = []
    for (row, deviations, digest), alike in groups.items():
        reason = _explain_difference(cells.get(row), deviations, digest, alike[0], read_entry)
        if not reason:
            counting += alike
            continue
        finished = sorted((entry for entry in alike if entry.status == "finished"), key=lambda entry: entry.seed)
        if finished:
            earlier.append(EarlierRuns(*row, tuple(entry.id for entry in finished), reason))
    return counting, earlier


def _explain_difference(
    cell: CurrentCell | None, deviations: tuple[str, ...], digest: str, entry: Entry, read_entry: ReadEntry
) -> str:
    """Return why an entry is not of the row as it is now; "" if it is."""
    if cell is None:
        return f"there is no tier {entry.tier} any more"
    if cell.error is not None:
        return f"the row does not compose now: {cell.error.strip().splitlines()[0]}"
    if digest == cell.cell_digest:
        return ""
    typed = [Override.parse(text).key for text in deviations]
    if any("." not in key for key in typed):  # an option of a group changes more than its own node
        return ""
    differences = find_differences(read_entry(entry).config, cell.config, typed)
    if differences:
        return str(differences[0])
    return "" if deviations or not digest else PARENT_CHANGED


def find_differences(
    before: Mapping[str, Any], now: Mapping[str, Any], ignored: Iterable[str]
) -> list[diff.Difference]:
    """Return what an earlier config of a row asked for otherwise, without what a run reads from its dataset."""
    before, now = dict(before), dict(now)
    read_later = [key for config in (before, now) for key in keys_with(config, Role.DATASET)]
    differences = diff.experiments(before, now, tuple(dict.fromkeys([*ignored, *read_later])))
    values = [diff.at(before, key) for key in read_later if diff.at(now, key) is None]
    return [difference for difference in differences if READ_LATER not in (difference.a, difference.b)
            and not (difference.b is None and difference.a in values)]  # fmt: skip
