"""Platt scaling (Platt, Advances in Large Margin Classifiers, 1999): sigmoid(slope * logit + intercept).

The slope is positive, so the order of scores stays. The intercept repairs an offset of all scores, the usual fault of
detectors, which no temperature can: it leaves a score of .5 where it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lineage.calibration.logistic import fit_logistic
from lineage.calibration.logit import Floats, logit, sigmoid

LEAST_SLOPE = 1e-3


@dataclass(frozen=True, slots=True)
class Platt:
    slope: float
    intercept: float

    def __call__(self, scores: Floats) -> Floats:
        return sigmoid(self.slope * logit(scores) + self.intercept)


def fit_platt(scores: Floats, targets: Floats) -> Platt:
    """Return slope and intercept of the least log loss."""
    features = np.stack([logit(scores), np.ones(len(scores))], axis=1)
    slope, intercept = fit_logistic(features, targets, np.array([LEAST_SLOPE, -np.inf]), np.array([1.0, 0.0]))
    return Platt(float(slope), float(intercept))
