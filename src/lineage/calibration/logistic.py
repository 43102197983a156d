"""Logistic regression with lower bounds of its coefficients: temperature, Platt and beta calibration are this fit.

    minimise  mean log(1 + exp(x w)) - y x w   over w >= lower;   y in [0, 1] may be soft, such as an IoU

It is convex; Newton's method with step halving takes about ten steps.
"""

from __future__ import annotations

import numpy as np

from lineage.calibration.logit import Floats, sigmoid

RIDGE = 1e-7  # keeps coefficients finite where all targets are equal
STEPS, HALVINGS = 100, 40
TOLERANCE = 1e-12


def fit_logistic(features: Floats, targets: Floats, lower: Floats, start: Floats) -> Floats:
    """Return the coefficients [K] of features [N, K]. Those that would fall below their bound are fixed there."""
    weights = start.astype(np.float64)
    is_free = np.ones(len(lower), bool)
    while is_free.any():
        offset = features[:, ~is_free] @ weights[~is_free]
        weights[is_free] = _minimise(features[:, is_free], targets, offset, weights[is_free])
        excess = np.where(is_free, weights - lower, 0)
        if excess.min() >= 0:
            break
        worst = int(excess.argmin())
        is_free[worst], weights[worst] = False, lower[worst]
    return weights


def _minimise(features: Floats, targets: Floats, offset: Floats, weights: Floats) -> Floats:
    value = _loss(features, targets, offset, weights)
    for _ in range(STEPS):
        # 1. Newton's direction.
        predicted = sigmoid(features @ weights + offset)
        gradient = features.T @ (predicted - targets) / len(targets) + RIDGE * weights
        curvature = (features * (predicted * (1 - predicted))[:, None]).T @ features / len(targets)
        step = np.linalg.solve(curvature + RIDGE * np.eye(len(weights)), gradient)
        # 2. The longest of its halves that lowers the loss.
        for _ in range(HALVINGS):
            following = _loss(features, targets, offset, weights - step)
            if following <= value:
                break
            step = step / 2
        else:
            return weights
        weights, decrease, value = weights - step, value - following, following
        if decrease < TOLERANCE and np.abs(step).max() < 1e-9:
            break
    return weights


def _loss(features: Floats, targets: Floats, offset: Floats, weights: Floats) -> float:
    logits = features @ weights + offset
    return float((np.logaddexp(0, logits) - targets * logits).mean() + RIDGE / 2 * weights @ weights)
