"""Beta calibration (Kull et al., AISTATS 2017): sigmoid(a log p - b log(1 - p) + c) with a, b >= 0."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lineage.calibration.logistic import fit_logistic
from lineage.calibration.logit import Floats, clip_scores, sigmoid

LEAST = 1e-6  # deviates: of a and b, not 0: a map that is constant would lose the order of the scores


@dataclass(frozen=True, slots=True)
class Beta:
    a: float
    b: float
    c: float

    def __call__(self, scores: Floats) -> Floats:
        return sigmoid(_features(scores) @ np.array([self.a, self.b, self.c]))


def fit_beta(scores: Floats, targets: Floats) -> Beta:
    """Return the coefficients of the least log loss."""
    lower = np.array([LEAST, LEAST, -np.inf])
    a, b, c = fit_logistic(_features(scores), targets, lower, np.array([1.0, 1.0, 0.0])).tolist()
    return Beta(a, b, c)


def _features(scores: Floats) -> Floats:
    """Return [N, 3] log p, -log(1 - p) and 1."""
    scores = clip_scores(scores)
    return np.stack([np.log(scores), -np.log1p(-scores), np.ones(len(scores))], axis=1)
