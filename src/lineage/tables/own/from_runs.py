"""Runs made by hand or by a sweep as a table: what they varied are its factors, seeds are replicates."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from lineage.results import diff
from lineage.results.entry import Entry
from lineage.results.overrides import Override
from lineage.tables.own.variation import OwnRow, Setting, list_options, name_rows, read_setting
from lineage.tables.own.write import OwnTable
from lineage.tables.table import Row, TableError
from lineage.tables.tiers import Tiers, translate_row

HEADLINE = {"mask/AP": "mask AP", "box/AP": "box AP", "keypoint/AP": "keypoint AP", "panoptic/PQ": "PQ",
            "frame/PSNR": "PSNR"}  # fmt: skip

Settings = dict[str, Setting]  # by name


def tabulate_runs(
    name: str, entries: Sequence[Entry], configs: Sequence[Path], row: Row | None = None, tiers: Tiers | None = None
) -> OwnTable:
    """Return the table of some runs. Raises TableError if they are not runs of one tier, dataset and row.

    row: the row of a table that all of them started from, as experiment=ROW. configs: the folders of config groups.
    """
    _check_alike(entries)
    # 1. What each run says, and what the runs say differently; a run that does not say it has the default.
    typed = [_read_settings(entry, configs) for entry in entries]
    names = list(dict.fromkeys(name for settings in typed for name in settings))
    pairs = list(zip(entries, typed, strict=True))
    levels = {name: [settings.get(name) or _find_default(entry, name, configs) for entry, settings in pairs]
              for name in names}  # fmt: skip
    varied = [name for name in names if len(set(map(str, levels[name]))) > 1]
    if not varied:
        raise TableError("these runs differ in their seeds alone: a table needs something that varies")
    # 2. A row per combination; the baseline is that of the run that says least.
    combinations = list(zip(*(levels[name] for name in varied), strict=True))
    rows = name_rows({tuple(map(str, combination)): combination for combination in combinations}.values())
    by_levels = {tuple(map(str, own_row.settings)): own_row.name for own_row in rows}
    shortest = min(range(len(typed)), key=lambda i: sum(name in typed[i] for name in varied))
    seeds = _group_seeds(entries, [by_levels[tuple(map(str, combination))] for combination in combinations])
    # 3. The base: the row that they started from, at their tier, and what all of them say alike.
    base = {setting.name: setting for setting in _read_row(row, entries[0].tier, tiers or {})}
    base |= {name: levels[name][0] for name in names}
    return OwnTable(
        name=name,
        message=f"What {' and '.join(varied)} {'changes' if len(varied) == 1 else 'change'}.",
        metrics=list_metrics(entries),
        dataset=entries[0].choices.get("dataset", ""),
        base=[setting for setting in base.values() if setting.name not in varied],
        rows=rows,
        factors=varied,
        gaps=list_gaps(rows),
        baseline=by_levels[tuple(map(str, combinations[shortest]))],
        tier=entries[0].tier,
        seeds=max(map(len, seeds.values())),  # a table that plans more of each would train what nobody swept
        seeds_of_rows=seeds,
        origin=f"written from {len(entries)} runs: {entries[0].id} to {entries[-1].id}",
    )


def _group_seeds(entries: Sequence[Entry], rows: Iterable[str]) -> dict[str, list[int]]:
    """Return the seeds of each row: runs that differ in their seeds alone are repeats of one row."""
    seeds: dict[str, set[int]] = defaultdict(set)
    for entry, row in zip(entries, rows, strict=True):
        seeds[row].add(entry.seed)
    return {row: sorted(numbers) for row, numbers in seeds.items()}


def describe_seeds(seeds: Mapping[str, Sequence[int]]) -> str:
    """Return a line on repeats, or on rows that are compared across seeds; "" if every row has the same single seed."""
    rows: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for row, numbers in seeds.items():
        rows[tuple(numbers)].append(row)
    if len(rows) > 1:
        parts = [f"{', '.join(names)} {'has' if len(names) == 1 else 'have'} {', '.join(map(str, numbers))}"
                 for numbers, names in rows.items()]  # fmt: skip
        return f"{'; '.join(parts)}: rows of different seeds are compared, so what differs may be the seeds' noise"
    numbers = next(iter(rows), ())
    return f"every row has {', '.join(map(str, numbers))}, which are repeats of it" if len(numbers) > 1 else ""


def list_metrics(entries: Sequence[Entry]) -> dict[str, str]:
    """Return the main metrics that the runs have, with their titles."""
    measured = dict.fromkeys(name for entry in entries for name in entry.metrics)
    names = {name: title for name, title in HEADLINE.items() if name in measured}
    return names or {name: name for name in [*measured, "box/AP"][:1]}


def list_gaps(rows: Sequence[OwnRow]) -> list[dict[str, Any]]:
    """Return the combinations of levels that no row has."""
    present = {tuple(map(str, row.settings)) for row in rows}
    axes = [list({str(level): level for level in axis}.values()) for axis in zip(*(row.settings for row in rows),
                                                                                 strict=True)]  # fmt: skip
    missing = [cell for cell in product(*axes) if tuple(map(str, cell)) not in present]
    return [{level.name: level.value for level in cell} for cell in missing]


def _check_alike(entries: Sequence[Entry]) -> None:
    if len(entries) < 2:
        raise TableError(f"a table needs two runs or more, here are {len(entries)}")
    fields: Mapping[str, Any] = {
        "tiers": lambda entry: entry.tier,
        "datasets": lambda entry: entry.choices.get("dataset", ""),
        "rows of tables": lambda entry: f"{entry.table}/{entry.row}" if entry.row else "none",
    }
    for noun, read in fields.items():
        values = sorted({read(entry) for entry in entries})
        if len(values) > 1:
            raise TableError(f"these are runs of several {noun}: {', '.join(values)}. A table compares runs of one")


def _read_settings(entry: Entry, configs: Sequence[Path]) -> Settings:
    """Return what a run says beside its row: options and keys that change what it computes."""
    removed = [text for text in entry.deviations if Override.parse(text).value is None]
    if removed:
        raise TableError(f"{entry.id} removes a key ({removed[0]}), which no row of a table can")
    settings = [read_setting(text, configs) for text in entry.deviations]
    return {setting.name: setting for setting in settings}


def _find_default(entry: Entry, name: str, configs: Sequence[Path]) -> Setting:
    """Return the option of a group, or the value of a key, that a run has without saying so."""
    if list_options(Override.parse(f"{name}=").name, configs) is not None:
        return Setting(name, entry.choices.get(name, "none"), is_group=True)
    value = diff.at(entry.config, name)
    if value == diff.ABSENT:
        raise TableError(f"{entry.id} has no key {name}, which other runs set: its level cannot be written down")
    return Setting(name, value, is_group=False)


def _read_row(row: Row | None, tier: str, tiers: Tiers) -> list[Setting]:
    if row is None:
        return []
    choices, assignments = translate_row(row, tier, tiers.get(tier, {}))
    options = [Setting(name, option, is_group=True) for name, option in choices.items() if name != "tier"]
    return [*options, *(Setting(key, value, is_group=False) for key, value in assignments.items())]
