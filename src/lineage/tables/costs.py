"""The costs of a run, read from its entry in the units of the table's cost columns; None where nothing was measured.

A row that only tests another row's checkpoint has no costs of training.
"""

from __future__ import annotations

from collections.abc import Callable

from lineage.results.entry import Entry
from lineage.tables.samples import Runs, Setting, average_by_seed
from lineage.tables.statistics.seed_noise import SeedSample

GIGA, MILLION, HOUR = 1e9, 1e6, 3600.0

COST_OF: dict[str, Callable[[Entry], float | None]] = {
    "cost/gpu_hours": lambda entry: _divide(_training_seconds(entry), HOUR / entry.processes),
    "cost/hours": lambda entry: _divide(_training_seconds(entry), HOUR),
    "cost/step_seconds": lambda entry: _divide(_training_seconds(entry), entry.steps),
    "cost/memory_gb": lambda entry: _divide(entry.peak_memory, GIGA),
    "cost/parameters_m": lambda entry: _divide(entry.parameters, MILLION),
    "cost/gflops": lambda entry: _divide(entry.macs, GIGA),
    "cost/image_ms": lambda entry: entry.image_ms,
    "cost/images_per_second": lambda entry: 1000 / entry.image_ms if entry.image_ms else None,
}
TITLES = {  # of those that every table shows
    "cost/gpu_hours": "device h",
    "cost/step_seconds": "s/iter",
    "cost/memory_gb": "memory (GB)",
    "cost/parameters_m": "params (M)",
    "cost/gflops": "GFLOPs",
    "cost/image_ms": "ms/image",
}


def collect_costs(runs: Runs, metric: str) -> dict[Setting, SeedSample]:
    """Return one cost of the finished runs of a row, by setting; of a seed that ran more than once, the mean."""
    costs = {
        setting: average_by_seed((entry.seed, read_cost(entry, metric)) for entry in entries)
        for setting, entries in runs.items()
    }
    return {setting: SeedSample(tuple(values.values()), tuple(values)) for setting, values in costs.items() if values}


def read_cost(entry: Entry, metric: str) -> float | None:
    """Return one cost of one run; if the run wrote a metric of that name, it is the better measurement."""
    written = entry.metrics.get(metric)
    if written is not None or metric not in COST_OF:
        return written
    return COST_OF[metric](entry)


def _training_seconds(entry: Entry) -> float | None:
    """Entries from before steps were timed have only the time of the whole run, evaluations included."""
    if not entry.steps:
        return None
    return entry.steps * entry.step_seconds if entry.step_seconds is not None else entry.seconds


def _divide(value: float | None, unit: float) -> float | None:
    return None if value is None else value / unit
