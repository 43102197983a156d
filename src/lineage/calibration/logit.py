"""Logits of scores: softmax(log p / T) equals softmax(z / T), so a file of scores holds all that temperature needs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SMALLEST = 1e-12  # scores of exactly 0 and 1 have no logit


def clip_scores(scores: Floats) -> Floats:
    return np.clip(scores, SMALLEST, 1 - SMALLEST)


def logit(scores: Floats) -> Floats:
    """Return log(p / (1 - p))."""
    scores = clip_scores(scores)
    return np.log(scores) - np.log1p(-scores)


def sigmoid(logits: Floats) -> Floats:
    """Return 1 / (1 + exp(-z)) without overflow."""
    return np.exp(-np.logaddexp(0, -logits))
