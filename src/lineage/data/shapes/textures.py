"""Colour for the embedded dataset: textured backgrounds and surfaces that are independent of the class.

Every surface mixes two random colours by a scalar field (ramp, stripes, checks or noise). `contrasting` keeps a surface
apart from what lies under it, so an object may be missed for its size or its occlusion, never for its contrast.
"""

from __future__ import annotations

from colorsys import hsv_to_rgb

import numpy as np
from numpy.random import Generator
from PIL import Image

GOLDEN = 0.381966  # of a turn

Field = np.ndarray  # [h, w] float32 in 0..1


def noise(rng: Generator, height: int, width: int, cell: float) -> Field:
    """Smooth value noise: random values on a grid of `cell` pixels, interpolated."""
    grid = rng.random((max(2, round(height / cell) + 1), max(2, round(width / cell) + 1)), dtype=np.float32)
    return np.asarray(Image.fromarray(grid).resize((width, height), Image.Resampling.BILINEAR))


def _phase(rng: Generator, height: int, width: int, period: float) -> Field:
    """A plane wave's phase in a random direction."""
    angle = rng.uniform(0, 2 * np.pi)
    y = np.arange(height, dtype=np.float32)[:, None] * np.float32(np.sin(angle) * 2 * np.pi / period)
    return y + np.arange(width, dtype=np.float32) * np.float32(np.cos(angle) * 2 * np.pi / period)


def ramp(rng: Generator, height: int, width: int) -> Field:
    return 0.5 + 0.5 * np.sin(_phase(rng, height, width, 2.5 * max(height, width)) + rng.uniform(0, 6))


def stripes(rng: Generator, height: int, width: int, period: float) -> Field:
    return np.clip(0.5 + 1.5 * np.sin(_phase(rng, height, width, period)), 0, 1)


def checks(rng: Generator, height: int, width: int, period: float) -> Field:
    waves = np.sin(_phase(rng, height, width, period)) * np.sin(_phase(rng, height, width, period))
    return np.clip(0.5 + 2 * waves, 0, 1)


def surface(rng: Generator, height: int, width: int, period: float) -> Field:
    kind = rng.random()
    if kind < 0.4:
        return ramp(rng, height, width)
    if kind < 0.65:
        return stripes(rng, height, width, period)
    return checks(rng, height, width, period) if kind < 0.8 else noise(rng, height, width, period)


def mix(field: Field, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return first + field[..., None] * (second - first)


def background(rng: Generator, height: int, width: int) -> np.ndarray:
    """[h, w, 3] float32 in 0..255: two muted colours over noise of three scales, sometimes over a pattern."""
    side = min(height, width)
    field = 0.5 * noise(rng, height, width, side / 2) + 0.3 * noise(rng, height, width, side / 8)
    field += 0.2 * noise(rng, height, width, 3)
    if rng.random() < 0.4:
        field = 0.6 * field + 0.4 * surface(rng, height, width, side * rng.uniform(0.06, 0.25))
    first = rng.uniform(50, 205) + rng.uniform(-40, 40, 3)
    second = first + rng.choice([-1, 1]) * rng.uniform(20, 60) + rng.uniform(-20, 20, 3)
    return mix(field, first.astype(np.float32), second.astype(np.float32))


def contrasting(rng: Generator, beneath: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two related colours, far from the colour they will lie on."""
    choices = rng.uniform(10, 245, (5, 3))
    first = choices[np.argmax(np.abs(choices - beneath).sum(1))]
    second = first + (first - beneath) * rng.uniform(-0.35, 0.15) + rng.uniform(-20, 20, 3)
    return first.astype(np.float32), second.astype(np.float32)


def colours_of_class(rng: Generator, label: int) -> tuple[np.ndarray, np.ndarray]:
    """Two shades of the hue of a class. Successive classes are a golden angle apart, so that any few of them differ."""
    hue = label * GOLDEN + rng.uniform(-0.02, 0.02)
    shades = rng.uniform(0.65, 1.0, 2)
    first, second = (np.array(hsv_to_rgb(hue % 1.0, 0.85, shade), np.float32) * 255 for shade in shades)
    return first, second
