"""Stuff of the embedded dataset, for panoptic segmentation: areas of four materials that differ in their texture.

Colours are random, so the pattern alone identifies a material: a slow shade, stripes, checks or grains.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from lineage.data.shapes import textures

CLASSES = ("haze", "furrows", "tiles", "gravel")  # semantic class 1, 2, ...; 0 is any thing
THING = 0
CATEGORY = 100  # plus the semantic class is a material's category id, beyond those of any thing


def draw_areas(rng: Generator, height: int, width: int) -> np.ndarray:
    """Return [h, w] uint8 in 1..len(CLASSES): two or three materials that meet along smooth lines."""
    side = min(height, width)
    field = textures.noise(rng, height, width, side / 1.5) + 0.15 * textures.noise(rng, height, width, side / 5)
    count = int(rng.integers(2, 4))
    shares = np.cumsum(rng.uniform(1, 2, count))
    borders = np.quantile(field, shares[:-1] / shares[-1])
    labels = rng.permutation(len(CLASSES))[:count] + 1
    return labels.astype(np.uint8)[np.searchsorted(borders, field)]


def paint_areas(rng: Generator, labels: np.ndarray) -> np.ndarray:
    """Return [h, w, 3] float32 in 0..255: each area in its texture and two random colours."""
    height, width = labels.shape
    side = min(height, width)
    fields = (
        textures.ramp(rng, height, width),
        textures.stripes(rng, height, width, side * rng.uniform(0.06, 0.1)),
        textures.checks(rng, height, width, side * rng.uniform(0.1, 0.16)),
        textures.noise(rng, height, width, 2),
    )
    canvas = np.zeros((height, width, 3), np.float32)
    for label, field in enumerate(fields, 1):
        first = rng.uniform(60, 195) + rng.uniform(-40, 40, 3)
        second = first + rng.choice([-1, 1]) * rng.uniform(35, 70) + rng.uniform(-15, 15, 3)
        surface = textures.mix(field, first.astype(np.float32), second.astype(np.float32))
        canvas = np.where((labels == label)[..., None], surface, canvas)
    return canvas
