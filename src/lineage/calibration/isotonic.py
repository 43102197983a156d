"""Isotonic regression (Zadrozny and Elkan, KDD 2002): the step function that rises and has the least squared error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lineage.calibration.logit import Floats
from lineage.calibration.ties import keep_order


@dataclass(frozen=True, slots=True)
class Isotonic:
    starts: tuple[float, ...]  # lowest score of each step; scores below the first take its value
    values: tuple[float, ...]  # rising

    def __call__(self, scores: Floats) -> Floats:
        step = np.searchsorted(np.array(self.starts), scores, side="right") - 1
        return keep_order(np.array(self.values)[step.clip(min=0)], scores)


def fit_isotonic(scores: Floats, targets: Floats) -> Isotonic:
    """Return the steps, by pooling adjacent violators."""
    # 1. Equal scores have one value: the mean of their targets.
    points, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    means = np.bincount(inverse, weights=targets) / counts
    # 2. Pool a step with the one before it as long as that is not lower.
    steps: list[tuple[float, float, float]] = []  # start, mean, number of samples
    for start, mean, count in zip(points.tolist(), means.tolist(), counts.tolist(), strict=True):
        while steps and steps[-1][1] >= mean:
            first, before, number = steps.pop()
            mean = (before * number + mean * count) / (number + count)
            start, count = first, number + count
        steps.append((start, mean, count))
    starts, values, _ = zip(*steps, strict=True)
    return Isotonic(starts, values)
