"""Entries grouped into samples: the runs of a row that measured the same thing, and their values of one metric.

Runs are compared only within one setting: equal tier, equal deviations, equal test.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lineage.results.entry import Entry
from lineage.tables.statistics.seed_noise import SeedSample
from lineage.tables.tiers import PAPER

UNCOMMITTED = "uncommitted code"  # a deviation of a run whose code is in no commit


@dataclass(frozen=True, order=True)
class Setting:
    """Everything that two runs must share to be compared."""

    tier: str
    deviations: tuple[str, ...]
    evaluation: str  # digest of the test: images, ground truth and evaluator

    @property
    def on_protocol(self) -> bool:
        """The paper's own setting; its numbers are compared with no other."""
        return self.tier == PAPER and not self.deviations

    def __str__(self) -> str:
        return " ".join([self.tier, *self.deviations])


Runs = Mapping[Setting, list[Entry]]  # finished runs of one row, oldest first
RowName = str | None  # None: a free run


def drop_superseded(entries: Iterable[Entry]) -> list[Entry]:
    """Return the entries that no later entry corrects."""
    entries = list(entries)
    superseded = {entry.supersedes for entry in entries}
    return [entry for entry in entries if entry.id not in superseded]


def get_setting(entry: Entry) -> Setting:
    deviations = (*entry.deviations, UNCOMMITTED) if entry.dirty else tuple(entry.deviations)
    return Setting(entry.tier, deviations, entry.evaluation_digest)


def group_by_row(entries: Iterable[Entry]) -> dict[RowName, list[Entry]]:
    rows: dict[RowName, list[Entry]] = defaultdict(list)
    for entry in entries:
        rows[entry.row].append(entry)
    return rows


def group_finished(entries: Iterable[Entry]) -> dict[RowName, dict[Setting, list[Entry]]]:
    """Return row -> setting -> its finished runs, oldest first."""
    settings: dict[tuple[object, ...], Setting] = {}  # thousands of runs share a few
    rows: dict[RowName, dict[Setting, list[Entry]]] = defaultdict(dict)
    for entry in sorted(entries, key=lambda entry: entry.id):
        if entry.status == "finished":
            key = (entry.tier, *entry.deviations, entry.dirty, entry.evaluation_digest)
            setting = settings.get(key) or settings.setdefault(key, get_setting(entry))
            rows[entry.row].setdefault(setting, []).append(entry)
    return rows


def collect_samples(runs: Runs, metric: str) -> dict[Setting, SeedSample]:
    """Return the values of one metric of a row, by setting.

    A seed counts once, with its newest run. Only runs of the newest config count: if the row has changed since, its
    earlier runs measured another row.
    """
    samples = {setting: _sample(entries, metric) for setting, entries in runs.items()}
    return {setting: sample for setting, sample in samples.items() if sample is not None}


def _sample(runs: list[Entry], metric: str) -> SeedSample | None:
    by_config: dict[str, dict[int, float]] = {}
    newest = None
    for entry in runs:
        value = entry.metrics.get(metric)
        if value is None:
            continue
        if newest is None or entry.config_digest != newest.config_digest:
            by_config[entry.config_digest] = by_config.pop(entry.config_digest, {})  # the newest config stands last
        newest = entry
        by_config[entry.config_digest][entry.seed] = value
    if newest is None:
        return None
    *earlier, values = by_config.values()
    return SeedSample(tuple(values.values()), tuple(values), sum(map(len, earlier)), newest.cell_digest)
