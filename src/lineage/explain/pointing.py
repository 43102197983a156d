"""Measures of where a map lies: pointing game (arXiv:1608.00507), energy inside of an object, discrimination.

A map [h, w] is read where it is positive: negative values are evidence against the scalar, and count as 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.floating]
Mask = NDArray[np.bool_]


def points_inside(values: Map, region: Mask) -> bool:
    """Return whether the largest value of a map lies in a region [h, w].

    If several pixels share it, the first in reading order decides. A map without a positive value points nowhere.
    """
    peak = int(np.argmax(values))
    return bool(values.flat[peak] > 0 and region.flat[peak])


def measure_energy(values: Map, region: Mask) -> float:
    """Return the share of a map's positive sum that lies in a region [h, w], 0 to 1; 0 of an empty map.

    A map without information has the region's share of the image.
    """
    positive = np.clip(values, 0, None).astype(np.float64)
    total = float(positive.sum())
    return float(positive[region].sum()) / total if total > 0 else 0.0


def measure_discrimination(values: Map, own: Mask, others: Sequence[Mask]) -> float:
    """Return ODI (arXiv:2304.06354): the share of the energy in any object that lies in other objects; less is better.

    Pixels of several objects count as those of the own one. 0 if no object has energy.
    """
    positive = np.clip(values, 0, None).astype(np.float64)
    elsewhere = np.any(others, axis=0) & ~own if others else np.zeros_like(own)
    inside, outside = float(positive[own].sum()), float(positive[elsewhere].sum())
    return outside / (inside + outside) if inside + outside > 0 else 0.0
