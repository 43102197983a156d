"""Entries grouped into samples: the runs of a row that measured the same thing, and their values of one metric.

Runs are compared only within one setting: equal tier, equal deviations, equal test. Within it, runs of a row are seeds
of one experiment if they share the cell and the training images. The order of runs is that of their seeds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lineage.results.entry import Entry
from lineage.tables.statistics.seed_noise import SeedSample, mean
from lineage.tables.tiers import PAPER

UNCOMMITTED = "uncommitted code"  # a deviation of a run whose code is in no commit

Experiment = tuple[str, str]  # digest of the cell, fingerprint of the training images


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


Runs = Mapping[Setting, list[Entry]]  # finished runs of one row that measured the same, by seed
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
    """Return row -> setting -> its finished runs of one experiment, by seed."""
    rows: dict[RowName, dict[Setting, list[Entry]]] = defaultdict(dict)
    for (row, setting), runs in _group(entries).items():
        rows[row][setting] = runs[_choose_experiment(runs)]
    return rows


def find_left_out(entries: Iterable[Entry]) -> list[tuple[RowName, Setting, list[Entry]]]:
    """Return the finished runs of a row that are another experiment than the one that is shown."""
    groups = _group(entries)
    chosen = {key: _choose_experiment(runs) for key, runs in groups.items()}
    return [(*key, run) for key, runs in groups.items() for name, run in runs.items() if name != chosen[key]]


def find_repetitions(entries: Iterable[Entry]) -> list[tuple[RowName, Setting, int, list[Entry]]]:
    """Return the seeds of a row that ran more than once, with their runs."""
    repetitions = []
    for row, runs in group_finished(entries).items():
        for setting, finished in runs.items():
            by_seed: dict[int, list[Entry]] = defaultdict(list)
            for entry in finished:
                by_seed[entry.seed].append(entry)
            repetitions += [(row, setting, seed, of_seed) for seed, of_seed in by_seed.items() if len(of_seed) > 1]
    return repetitions


def collect_samples(runs: Runs, metric: str) -> dict[Setting, SeedSample]:
    """Return the values of one metric of a row, by setting.

    A seed counts once: of a seed that ran more than once, the mean.
    """
    samples = {setting: take_sample(entries, metric) for setting, entries in runs.items()}
    return {setting: sample for setting, sample in samples.items() if sample is not None}


def average_by_seed(pairs: Iterable[tuple[int, float | None]]) -> dict[int, float]:
    """Return seed -> the mean of its values, in the order of the seeds; values that are None do not count."""
    by_seed: dict[int, list[float]] = defaultdict(list)
    for seed, value in pairs:
        if value is not None:
            by_seed[seed].append(value)
    return {seed: mean(by_seed[seed]) for seed in sorted(by_seed)}


def take_sample(runs: Sequence[Entry], metric: str) -> SeedSample | None:
    """Return the values of one metric of the runs of a row in one setting, by seed; None without any."""
    values = average_by_seed((entry.seed, entry.metrics.get(metric)) for entry in runs)
    if not values:
        return None
    first = runs[0]
    model = first.choices.get("model", "")
    return SeedSample(tuple(values.values()), tuple(values), first.cell_digest, first.training_digest, model)


def _group(entries: Iterable[Entry]) -> dict[tuple[RowName, Setting], dict[Experiment, list[Entry]]]:
    """Return (row, setting) -> experiment -> its finished runs, by seed; ids only order repetitions of a seed."""
    settings: dict[tuple[object, ...], Setting] = {}  # thousands of runs share a few
    groups: dict[tuple[RowName, Setting], dict[Experiment, list[Entry]]] = defaultdict(lambda: defaultdict(list))
    for entry in sorted(entries, key=lambda entry: (entry.seed, entry.id)):
        if entry.status == "finished":
            key = (entry.tier, *entry.deviations, entry.dirty, entry.evaluation_digest)
            setting = settings.get(key) or settings.setdefault(key, get_setting(entry))
            groups[entry.row, setting][identify_experiment(entry)].append(entry)
    return groups


def identify_experiment(entry: Entry) -> Experiment:
    """Return what runs must share to be seeds of one experiment: the cell and the training images, wherever they lie.

    The digest of the resolved config would differ if only the folder of the dataset does.
    """
    return entry.cell_digest or entry.config_digest, entry.dataset.get("train", "")


def _choose_experiment(runs: Mapping[Experiment, list[Entry]]) -> Experiment:
    """Return the experiment with the most seeds; of equals, that of the smallest digest: no clock decides."""
    return min(runs, key=lambda name: (-len({entry.seed for entry in runs[name]}), name))
