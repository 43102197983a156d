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


def join(scores: Iterable[Scores]) -> Scores:
    """Join the scores of several tasks."""
    metrics: dict[str, float] = {}
    per_class: dict[str, dict[str, float]] = {}
    for part in scores:
        metrics |= part.metrics
        for name, values in part.per_class.items():
            per_class.setdefault(name, {}).update(values)
    return Scores(metrics, per_class)


def nan_mean(values: ArrayLike) -> float:
    """Return the mean of the values that are not NaN, or NaN if all are."""
    array = np.asarray(values, np.float64)
    numbers = array[~np.isnan(array)]
    return float(numbers.mean()) if numbers.size else NAN


def class_names(categories: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    """Return category id -> class name. Names that several categories share get their id: `lamp (id 3)`."""
    uses = Counter(category["name"] for category in categories)
    return {
        category["id"]: category["name"] if uses[category["name"]] == 1 else f"{category['name']} (id {category['id']})"
        for category in categories
    }
