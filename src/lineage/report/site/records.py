"""Runs of a store as the rows of the site: their numbers, what they varied, and which of them are seeds of one another.

Groups, differences of configs and noise are those of `lineage table` and `lineage compare`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any, NamedTuple

from lineage.report.site.differences import find_keys, read_key
from lineage.report.site.headline import choose_headline, sort_headline
from lineage.results.entry import Entry
from lineage.results.overrides import Override, shorten_key
from lineage.tables import costs
from lineage.tables.samples import UNCOMMITTED, get_setting, identify_experiment, take_sample
from lineage.tables.statistics.pooled_noise import NoiseEstimate, estimate_noise
from lineage.tables.statistics.seed_noise import find_published
from lineage.tables.statistics.student_t import ALPHA, t_isf
from lineage.tables.table import COSTS
from lineage.tables.tiers import PAPER

HIDDEN_CHOICES = ("experiment", "tier", "trainer", "logger", "callbacks")  # no part of what a run computes
DIGITS = 5  # of costs
FIELDS = (
    "id", "table", "row", "tier", "status", "seed", "steps", "seconds", "started", "dirty", "processes", "deviations",
    "parents", "supersedes",
)  # fmt: skip
MOST_KEYS = 60  # columns of config keys
MOST_COMPARED = 7  # differences to A in Compare, which takes eight runs

Experiment = tuple[Any, ...]


class Columns(NamedTuple):
    """Names of what the site lists of each run."""

    metrics: list[str]
    costs: list[str]
    choices: list[str]  # config groups whose option differs
    keys: list[str]  # dotted keys whose value differs


def describe_runs(entries: Sequence[Entry]) -> dict[str, Any]:
    """Return the columns, the runs and their groups, oldest run first."""
    # 1. Columns, and those that were swept.
    columns = choose_columns(entries)
    swept = find_swept(entries, columns)
    varied = {*swept, *_find_varied(entries)}
    # 2. Groups of seeds.
    groups: dict[Experiment, list[int]] = defaultdict(list)
    for position, entry in enumerate(entries):
        groups[identify(entry)].append(position)
    number = {position: i for i, positions in enumerate(groups.values()) for position in positions}
    settings = list(dict.fromkeys(map(name_setting, entries)))
    # 3. A record per run.
    runs = [
        {"group": number[position], "setting": settings.index(name_setting(entry)), "name": name_run(entry, varied)}
        | _describe_run(entry, columns)
        for position, entry in enumerate(entries)
    ]
    headline = sort_headline(name for entry in entries for name in choose_headline(entry.metrics))
    return columns._asdict() | {
        "headline": headline,
        "costs": {name: COSTS[name] for name in columns.costs}, "swept": swept, "settings": settings, "runs": runs,
        "noise": measure_noise(entries, settings, number),
    }  # fmt: skip


def choose_columns(entries: Sequence[Entry]) -> Columns:
    """Return the metrics and costs that some run has, and the options and keys that two runs have otherwise."""
    metrics = list(dict.fromkeys(name for entry in entries for name in entry.metrics))
    cost_names = [name for name in COSTS if any(costs.read_cost(entry, name) is not None for entry in entries)]
    groups = dict.fromkeys(name for entry in entries for name in entry.choices)
    choices = [name for name in groups if name.isidentifier() and name not in HIDDEN_CHOICES
               and len({entry.choices.get(name) for entry in entries}) > 1]  # fmt: skip
    return Columns(metrics, cost_names, choices, find_keys(entries)[:MOST_KEYS])


def _describe_run(entry: Entry, columns: Columns) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in FIELDS} | {
        "commit": (entry.commit or "")[:12],
        "model": entry.choices.get("model", ""),
        "dataset": name_dataset(entry),
        "metrics": [entry.metrics.get(name) for name in columns.metrics],
        "costs": [_round(costs.read_cost(entry, name)) for name in columns.costs],
        "choices": [entry.choices.get(name) for name in columns.choices],
        "keys": [read_key(entry.config, key) for key in columns.keys],
    }


def name_dataset(entry: Entry) -> str:
    """Return the option of conf/dataset; of a free run, with the name of the folder that was typed."""
    option = entry.choices.get("dataset", "")
    roots = [
        override.value
        for override in map(Override.parse, map(str, entry.command))
        if override.key == "dataset.root" and override.value
    ]
    folder = PurePath(roots[-1].strip("'\"")).name if roots and not entry.table else ""
    return f"{folder} ({option})" if folder and folder != option else option


def identify(entry: Entry) -> Experiment:
    """Return what runs share if they are seeds of one experiment in one setting."""
    return entry.table, entry.row, get_setting(entry), *identify_experiment(entry), entry.status == "finished"


def name_setting(entry: Entry) -> str:
    """Return the tier and the test of a run: metrics are compared within one setting alone."""
    return f"{entry.tier} {entry.evaluation_digest[:8]}"


def name_run(entry: Entry, varied: Collection[str]) -> str:
    """Return the row of a table, or the model with the overrides of a free run that not all runs share."""
    if entry.table and entry.row:
        return f"{entry.table} {entry.row}"
    typed = [
        override
        for override in map(Override.parse, entry.deviations)
        if override.name != "model" and override.name in varied
    ]
    words = [
        f"{shorten_key(override.name, varied)}={override.value}" if override.value is not None else str(override)
        for override in typed
    ]
    return " ".join([entry.choices.get("model", "run"), *words])


def _find_varied(entries: Sequence[Entry]) -> list[str]:
    """Return the names that free runs set to more than one value, or that only some of them set."""
    typed = [
        {override.name: override.value for override in map(Override.parse, entry.deviations)}
        for entry in entries
        if not entry.table
    ]
    names = dict.fromkeys(name for overrides in typed for name in overrides)
    return [name for name in names if len({overrides.get(name) for overrides in typed}) > 1]


def find_swept(entries: Sequence[Entry], columns: Columns) -> list[str]:
    """Return the columns that runs set on the command line to more than one value, most values first."""
    values: dict[str, set[str | None]] = defaultdict(set)
    for entry in entries:
        for override in map(Override.parse, entry.deviations):
            values[override.name].add(override.value)
    swept = [name for name in values if name in columns.choices or name in columns.keys]
    return sorted(swept, key=lambda name: -len(values[name]))


def measure_noise(
    entries: Sequence[Entry], settings: Sequence[str], group_of: Mapping[int, int]
) -> list[dict[str, dict[str, Any]]]:
    """Return for each setting metric -> model -> the noise of one run, pooled over the groups of that model.

    A noise has its standard deviation, its degrees of freedom, and the two-sided quantiles of Student's t at 95 % for
    1, 2, ... MOST_COMPARED differences that are looked at together (Bonferroni).
    What is unknown is absent.
    """
    runs: dict[tuple[str, str], dict[int, list[Entry]]] = defaultdict(lambda: defaultdict(list))
    for position, entry in enumerate(entries):
        if entry.status == "finished":
            runs[name_setting(entry), entry.choices.get("model", "")][group_of[position]].append(entry)
    noise: dict[str, dict[str, dict[str, Any]]] = {setting: defaultdict(dict) for setting in settings}
    for (setting, model), groups in runs.items():
        for metric in dict.fromkeys(name for group in groups.values() for name in group[0].metrics):
            single = _measure_metric(list(groups.values()), metric)
            if single is not None:
                noise[setting][metric][model] = {"sd": single.sd, "df": single.df, "source": single.source,
                                                 "t": [t_isf(ALPHA / 2 / count, single.df)
                                                       for count in range(1, MOST_COMPARED + 1)]}  # fmt: skip
    return [noise[setting] for setting in settings]


def _measure_metric(groups: Sequence[Sequence[Entry]], metric: str) -> NoiseEstimate | None:
    samples = {
        str(number): sample for number, runs in enumerate(groups) if (sample := take_sample(runs, metric)) is not None
    }
    return estimate_noise(samples, _find_prior(metric, [runs[0] for runs in groups])).single if samples else None


def _find_prior(metric: str, runs: Iterable[Entry]) -> NoiseEstimate | None:
    """Return the published noise if all runs are of the protocol and the models that it was measured on."""
    runs = list(runs)
    datasets = {run.choices.get("dataset", "") for run in runs}
    exact = all(run.tier == PAPER and set(get_setting(run).deviations) <= {UNCOMMITTED} for run in runs)
    if not exact or len(datasets) != 1:
        return None
    published = find_published(datasets.pop(), metric, {run.choices.get("model", "") for run in runs})
    return None if published is None else NoiseEstimate(published.sd, published.df, published.source)


def _round(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{DIGITS}g}")
