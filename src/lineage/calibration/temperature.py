"""Temperature scaling (Guo et al., arXiv:1706.04599): logits are divided by one number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lineage.calibration.logistic import fit_logistic
from lineage.calibration.logit import Floats, logit, sigmoid

COLDEST, HOTTEST = 0.01, 1000.0  # where all samples of a fit are right, or all wrong, no temperature is the best


@dataclass(frozen=True, slots=True)
class Temperature:
    temperature: float

    def __call__(self, scores: Floats) -> Floats:
        return sigmoid(logit(scores) / self.temperature)


def fit_temperature(scores: Floats, targets: Floats) -> Temperature:
    """Return the temperature of the least log loss."""
    (inverse,) = fit_logistic(logit(scores)[:, None], targets, np.array([1 / HOTTEST]), np.ones(1))
    return Temperature(float(max(1 / inverse, COLDEST)))
