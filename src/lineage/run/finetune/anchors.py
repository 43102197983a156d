"""Anchors that fit the boxes of a dataset: one size per level of the pyramid, three shapes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEVELS = 5  # P2 to P6
SHAPES = 3
ROUNDS = 100


def fit_anchors(boxes: NDArray[np.float64]) -> tuple[list[int], list[float]]:
    """Return the sizes [LEVELS] in pixels, ascending, and the shapes [SHAPES], height / width.

    boxes: [n, 2] height, width in pixels of the resized images
    Both are means of clusters on a logarithmic scale: a size by the root of the area, a shape by the ratio.
    """
    logs = np.log(boxes)
    sizes = np.exp(cluster((logs[:, 0] + logs[:, 1]) / 2, LEVELS))
    shapes = np.exp(cluster(logs[:, 0] - logs[:, 1], SHAPES))
    return [max(4, round(float(size))) for size in sizes], [round(float(shape), 2) for shape in shapes]


def cluster(values: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return the means of `count` clusters of numbers, ascending: Lloyd's iteration from their quantiles.

    A cluster without a number keeps its mean.
    """
    means = np.quantile(values, (np.arange(count) + 0.5) / count)
    for _ in range(ROUNDS):
        nearest = np.abs(values[:, None] - means).argmin(1)
        updated = np.array([values[nearest == k].mean() if (nearest == k).any() else means[k] for k in range(count)])
        if np.allclose(updated, means):
            break
        means = updated
    return np.sort(means)
