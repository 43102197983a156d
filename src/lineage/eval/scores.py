"""Metrics in percent: of a dataset and of each class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

NAN = float("nan")


class Scores(NamedTuple):
    metrics: dict[str, float]  # box/AP -> percent; NaN where the ground truth has nothing to measure
    per_class: dict[str, dict[str, float]]  # class -> box/AP -> percent
    notes: tuple[str, ...] = ()  # sentences: why metrics are absent, and where they deviate from the official code


def join(scores: Iterable[Scores]) -> Scores:
    """Join the scores of several tasks."""
    metrics: dict[str, float] = {}
    per_class: dict[str, dict[str, float]] = {}
    notes: dict[str, None] = {}  # in order, each once
    for part in scores:
        metrics |= part.metrics
        notes |= dict.fromkeys(part.notes)
        for name, values in part.per_class.items():
            per_class.setdefault(name, {}).update(values)
    return Scores(metrics, per_class, tuple(notes))


def nan_mean(values: ArrayLike) -> float:
    """Return the mean of the values that are not NaN, or NaN if all are."""
    array = np.asarray(values, np.float64)
    numbers = array[~np.isnan(array)]
    return float(numbers.mean()) if numbers.size else NAN


def class_names(categories: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    """Return category id -> class name. Names that several categories share get their id: `lamp (id 3)`."""
    names = {category["id"]: str(category.get("name") or category["id"]) for category in categories}
    uses = Counter(names.values())
    return {number: name if uses[name] == 1 else f"{name} (id {number})" for number, name in names.items()}
