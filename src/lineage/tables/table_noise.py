"""The samples of all rows of a table, and the noise of each metric in each setting."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from lineage.results.entry import Entry
from lineage.results.image_noise import Replicates
from lineage.tables.samples import UNCOMMITTED, Runs, Setting, average_by_seed, collect_samples, group_finished
from lineage.tables.statistics.pooled_noise import PRIOR_DF, NoiseEstimate, TableNoise, estimate_noise, pool
from lineage.tables.statistics.seed_noise import SeedSample, find_family, find_published, mean, sd
from lineage.tables.table import Table
from lineage.tables.tiers import PAPER


class NoiseKey(NamedTuple):
    """All that noise depends on, beside the seed."""

    metric: str
    family: str  # of models
    dataset: str  # option of conf/dataset
    tier: str


class SampleTable:
    """Samples and noise of a table, computed when needed."""

    def __init__(self, table: Table, entries: Iterable[Entry], measured: Mapping[NoiseKey, NoiseEstimate]) -> None:
        """Group the finished runs. `measured`: the noise of other tables of the store."""
        self.table, self.measured = table, measured
        self.runs: dict[str, Runs] = {str(row): runs for row, runs in group_finished(entries).items()}
        self._samples: dict[tuple[str, str], dict[Setting, SeedSample]] = {}
        self._noise: dict[tuple[str, Setting, int | None], TableNoise] = {}

    def find(self, row: str, metric: str) -> dict[Setting, SeedSample]:
        """Return the samples of a cell by setting."""
        if (row, metric) not in self._samples:
            self._samples[row, metric] = collect_samples(self.runs.get(row, {}), metric)
        return self._samples[row, metric]

    def column(self, metric: str, setting: Setting, first: int | None = None) -> dict[str, SeedSample]:
        """Return row -> sample of a metric in a setting; `first`: with so many seeds of each row."""
        cells = {row: self.find(row, metric).get(setting) for row in self.table.rows}
        return {row: sample.first(first or sample.n) for row, sample in cells.items() if sample is not None}

    def noise(self, metric: str, setting: Setting, first: int | None = None) -> TableNoise:
        """Return the noise of a metric in a setting; `first`: as so many seeds of each row estimate it."""
        key = (metric, setting, first)
        if key not in self._noise:
            samples = self.column(metric, setting, first)
            self._noise[key] = estimate_noise(samples, self._find_prior(metric, setting, samples))
        return self._noise[key]

    def scale_tolerance(self, metric: str, setting: Setting) -> float:
        """Return our mean of a metric divided by the paper's, at most 1; 1 in the paper's own tier."""
        pairs = [(sample.mean, self.table.rows[row].published.get(metric))
                 for row, sample in self.column(metric, setting).items()]  # fmt: skip
        comparable = [(ours, published) for ours, published in pairs if published]
        if setting.tier == PAPER or not comparable:
            return 1.0
        ratio = mean([ours for ours, _ in comparable]) / mean([published for _, published in comparable])
        return min(1.0, max(0.0, ratio))

    def estimate_image_variance(
        self, rows: tuple[str, str], metric: str, setting: Setting, images: Mapping[str, Replicates]
    ) -> float | None:
        """Return the variance of the difference of two rows over draws of test images, paired; None if unknown.

        It is known if every run of both rows has replicates.
        """
        of_rows = [[images.get(entry.id, {}).get(metric) for entry in self.runs[row][setting]] for row in rows]
        if any(values is None for runs in of_rows for values in runs):
            return None
        columns = [[mean(draw) for draw in zip(*runs, strict=True)] for runs in of_rows]
        return sd([a - b for a, b in zip(*columns, strict=True)]) ** 2

    def _find_prior(self, metric: str, setting: Setting, samples: Mapping[str, SeedSample]) -> NoiseEstimate | None:
        """Return the noise that our store has measured elsewhere, else what others published; None if unknown."""
        models = {sample.model for sample in samples.values()}
        families = {find_family(model) for model in models}
        datasets = {runs[setting][0].choices.get("dataset", "") for runs in self.runs.values() if setting in runs}
        as_published = setting.tier == PAPER and set(setting.deviations) <= {UNCOMMITTED}
        published = find_published(self.table.dataset, metric, models) if as_published else None
        measured = None
        if len(families) == len(datasets) == 1:
            measured = self.measured.get(NoiseKey(metric, families.pop(), datasets.pop(), setting.tier))
        if measured is not None and (published is None or measured.df >= PRIOR_DF):
            return measured
        return None if published is None else NoiseEstimate(published.sd, published.df, published.source)


def measure_noise(entries: Iterable[Entry], metrics: Iterable[str]) -> dict[NoiseKey, NoiseEstimate]:
    """Return the noise of metrics between the seeds of these entries, which may be of several tables.

    Rows that test the same checkpoints count once, in whichever tables they are.
    """
    metrics = tuple(metrics)
    groups: dict[NoiseKey, dict[str, dict[str, SeedSample]]] = defaultdict(lambda: defaultdict(dict))
    for cell, setting, runs in _iter_cells(entries):
        choices, training = runs[0].choices, runs[0].training_digest or cell
        for metric in metrics:
            values = average_by_seed((run.seed, run.metrics.get(metric)) for run in runs)
            if len(values) > 1:
                family = find_family(choices.get("model", ""))
                key = NoiseKey(metric, family, choices.get("dataset", ""), setting.tier)
                groups[key][training][cell] = SeedSample(tuple(values.values()), tuple(values))
    estimates = {key: pool(by_training.values()) for key, by_training in groups.items()}
    return {
        key: replace(noise, source=f"other tables of this store ({noise.df} df)")
        for key, noise in estimates.items()
        if noise is not None
    }


def _iter_cells(entries: Iterable[Entry]) -> Iterator[tuple[str, Setting, list[Entry]]]:
    """Yield the name of each row in each of its settings, the setting, and its finished runs."""
    tables: dict[str | None, list[Entry]] = defaultdict(list)
    for entry in entries:
        tables[entry.table].append(entry)
    for table, of_table in tables.items():
        for row, runs in group_finished(of_table).items():
            for setting, finished in runs.items():
                yield f"{table}/{row} {setting} {setting.evaluation}", setting, finished
