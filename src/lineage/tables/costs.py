"""What a run cost, read from its entry in the units of the table's cost columns. What was not measured is no number.

A row that only tests another row's checkpoint has no costs of training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lineage.results.entry import Entry
from lineage.tables.statistics.seed_noise import Sample
from lineage.tables.verdicts import Setting

Measured = Callable[[Entry], float | None]
GIGA, MILLION, HOUR = 1e9, 1e6, 3600.0

MEASURED: dict[str, Measured] = {
    "cost/gpu_hours": lambda entry: _scaled(_training(entry), HOUR / entry.processes),
    "cost/hours": lambda entry: _scaled(_training(entry), HOUR),
    "cost/step_seconds": lambda entry: _scaled(_training(entry), entry.steps),
    "cost/memory_gb": lambda entry: _scaled(entry.peak_memory, GIGA),
    "cost/parameters_m": lambda entry: _scaled(entry.parameters, MILLION),
    "cost/gflops": lambda entry: _scaled(entry.flops, GIGA),
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


def samples(runs: Mapping[Setting, list[Entry]], metric: str) -> dict[Setting, Sample]:
    """What the finished runs of a row cost, by setting; the newest run of a seed counts."""
    cells = {where: _by_seed(held, metric) for where, held in runs.items()}
    return {where: Sample(tuple(values.values()), tuple(values)) for where, values in cells.items() if values}


def _by_seed(runs: list[Entry], metric: str) -> dict[int, float]:
    told = ((entry.seed, of(entry, metric)) for entry in runs)
    return {seed: value for seed, value in told if value is not None}


def of(entry: Entry, metric: str) -> float | None:
    """One cost of one run; a metric of that name, where the run wrote one, is the better measurement."""
    written = entry.metrics.get(metric)
    if written is not None or metric not in MEASURED:
        return written
    return MEASURED[metric](entry)


def _training(entry: Entry) -> float | None:
    """Seconds. An entry from before steps were timed has only its whole time, evaluations included."""
    if not entry.steps:
        return None
    return entry.steps * entry.step_seconds if entry.step_seconds is not None else entry.seconds


def _scaled(value: float | None, unit: float) -> float | None:
    return None if value is None else value / unit
