"""The embedded videos: patterned shapes that move before and behind each other over a moving background.

A pattern is a sum of plane waves, so a frame at any time and the motion between two times are exact: nothing is
resampled. A clip depends on (seed, index) alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lineage.data.frames.triplets import FrameError, FrameTriplets, Size, Triplet
from lineage.data.shapes.dataset import parse_sizes
from lineage.ops.random import fold_in

VERSION = 1  # of the drawing; part of the fingerprint
WAVES = 10  # of a pattern
WAVELENGTHS = 5.0, 40.0  # pixels
CONTRAST = 0.16  # standard deviation of a pattern, of 0..1
Floats = NDArray[np.float32]


class Motion(NamedTuple):
    """The path of a centre, in pixels and intervals between given frames."""

    centre: NDArray[np.float64]  # [2] (x, y) at time 0
    velocity: NDArray[np.float64]  # [2]
    acceleration: NDArray[np.float64]  # [2]
    spin: float  # radians per interval

    def locate(self, time: float) -> NDArray[np.float64]:
        return self.centre + self.velocity * time + self.acceleration * time**2 / 2


class Layer(NamedTuple):
    """A patterned shape; without half sides it is the background and covers everything."""

    motion: Motion
    half_sides: NDArray[np.float64] | None  # [2]
    is_ellipse: bool
    colour: NDArray[np.float64]  # [3] mean
    waves: NDArray[np.float64]  # [W, 2] radians per pixel
    amplitudes: NDArray[np.complex128]  # [W, 3] of each colour, with the phase


class Motions(NamedTuple):
    """The largest motions that are drawn, per interval between given frames."""

    speed: float  # pixels
    acceleration: float  # pixels
    spin: float  # degrees


class MovingShapes:
    """Reader of drawn clips."""

    def __init__(self, seed: int, count: int, size: Size, objects: int, motions: Motions) -> None:
        self.names = [f"clip {number:03d}" for number in range(count)]
        self.sizes = [size] * count
        self.seed, self.objects, self.motions = seed, objects, motions

    def read_frame(self, clip: int, time: float) -> NDArray[np.uint8]:
        height, width = self.sizes[clip]
        frame = np.zeros((3, height, width), np.float32)
        for layer in self._draw_layers(clip):
            cover = draw_cover(layer, time, (height, width))
            frame += cover * (draw_pattern(layer, time, (height, width)) - frame)
        return np.rint(255 * frame.clip(0, 1)).astype(np.uint8).transpose(1, 2, 0)

    def read_flow(self, clip: int, start: float, end: float) -> Floats:
        height, width = self.sizes[clip]
        flow = np.zeros((2, height, width), np.float32)
        for layer in self._draw_layers(clip):
            covered = draw_cover(layer, start, (height, width)) >= 0.5
            flow = np.where(covered, draw_motion(layer, start, end, (height, width)), flow)
        return flow

    def _draw_layers(self, clip: int) -> tuple[Layer, ...]:
        return draw_layers(fold_in("moving_shapes", self.seed, clip), self.sizes[clip], self.objects, self.motions)


def load(
    *, seed: int, length: int, pairs: int, time: float, size: int | Sequence[Any], objects: int, speed: float,
    acceleration: float, spin: float,
) -> FrameTriplets:  # fmt: skip
    """Return triplets of drawn clips.

    length        triplets; the last clip has fewer than `pairs` if they do not divide it
    pairs         triplets of a clip: frames at 0, `time` and 1, at 1, 1 + `time` and 2, ...
    time          of the frame between two given ones, above 0 and below 1
    size          (height, width), or the side of a square
    objects       shapes of a clip, each before those drawn earlier
    speed         largest speed in pixels per interval between given frames
    acceleration  largest acceleration, in pixels per interval squared
    spin          largest turn in degrees per interval
    """
    (height, width), *others = parse_sizes(size)
    if others:
        raise FrameError(f"moving_shapes: size={size} is one (height, width): all frames of a clip have one size")
    if not 0 < time < 1:
        raise FrameError(
            f"dataset.time={time:g}: the frame to draw lies between the two given ones, above 0 and below 1"
        )
    reader = MovingShapes(seed, math.ceil(length / pairs), (height, width), objects, Motions(speed, acceleration, spin))
    places = [divmod(index, pairs) for index in range(length)]
    triplets = [Triplet(clip, pair, pair + time, pair + 1) for clip, pair in places]
    key = VERSION, seed, height, width, objects, *reader.motions
    return FrameTriplets(reader, triplets, key, source=None)


@lru_cache(maxsize=8)
def draw_layers(key: int, size: Size, objects: int, motions: Motions) -> tuple[Layer, ...]:
    """Return the background and the shapes of a clip, the nearest last."""
    chance = np.random.Generator(np.random.PCG64(key))
    return tuple(_draw_layer(chance, size, motions, is_background=index == 0) for index in range(objects + 1))


def _draw_layer(chance: np.random.Generator, size: Size, motions: Motions, *, is_background: bool) -> Layer:
    # 1. The path: any direction, the background at half the speed of shapes.
    height, width = size
    angle, push = chance.uniform(0, 2 * math.pi, 2)
    speed = motions.speed * math.sqrt(chance.uniform()) * (0.5 if is_background else 1.0)
    motion = Motion(
        chance.uniform(0, 1, 2) * (width, height),
        speed * np.array([math.cos(angle), math.sin(angle)]),
        motions.acceleration * chance.uniform() * np.array([math.cos(push), math.sin(push)]),
        math.radians(motions.spin) * chance.uniform(-1, 1),
    )
    # 2. The outline.
    half_sides = min(size) * chance.uniform(0.12, 0.3, 2)
    # 3. The pattern: waves of all directions, long ones stronger.
    shortest, longest = map(math.log, WAVELENGTHS)
    lengths = np.exp(chance.uniform(shortest, longest, WAVES))
    directions = chance.uniform(0, math.pi, WAVES)
    waves = (2 * math.pi / lengths)[:, None] * np.stack([np.cos(directions), np.sin(directions)], 1)
    phases = np.exp(1j * chance.uniform(0, 2 * math.pi, (WAVES, 3)))
    strength = lengths**0.5 / np.sqrt((lengths / 2).sum()) * CONTRAST
    return Layer(
        motion, None if is_background else half_sides, bool(chance.integers(2)), chance.uniform(0.25, 0.75, 3), waves,
        strength[:, None] * phases,
    )  # fmt: skip


def draw_pattern(layer: Layer, time: float, size: Size) -> Floats:
    """Return the pattern [3, h, w] everywhere; its waves travel and turn with the layer."""
    height, width = size
    cosine, sine = math.cos(layer.motion.spin * time), math.sin(layer.motion.spin * time)
    waves = layer.waves @ np.array([[cosine, sine], [-sine, cosine]])
    amplitudes = layer.amplitudes * np.exp(-1j * waves @ layer.motion.locate(time))[:, None]
    across = np.exp(1j * waves[:, :1] * np.arange(width))  # [W, w]: a plane wave is a product of x and y
    down = np.exp(1j * waves[:, 1:] * np.arange(height))  # [W, h]
    planes = [((down * amplitudes[:, [colour]]).T @ across).real for colour in range(3)]
    return (np.stack(planes) + layer.colour[:, None, None]).astype(np.float32)


def draw_cover(layer: Layer, time: float, size: Size) -> Floats:
    """Return the share of each pixel [h, w] that the layer covers."""
    if layer.half_sides is None:
        return np.ones(size, np.float32)
    x, y = _to_layer(layer, time, size)
    if layer.is_ellipse:
        distance = (1 - np.hypot(x / layer.half_sides[0], y / layer.half_sides[1])) * layer.half_sides.min()
    else:
        distance = np.minimum(layer.half_sides[0] - abs(x), layer.half_sides[1] - abs(y))
    return (distance + 0.5).clip(0, 1).astype(np.float32)


def draw_motion(layer: Layer, start: float, end: float, size: Size) -> Floats:
    """Return where the layer's point at each pixel at `start` is at `end`, as a difference [2, h, w]."""
    x, y = _to_layer(layer, start, size)
    angle = layer.motion.spin * end
    moved = np.stack([math.cos(angle) * x - math.sin(angle) * y, math.sin(angle) * x + math.cos(angle) * y])
    rows, columns = np.indices(size)
    return (moved + layer.motion.locate(end)[:, None, None] - np.stack([columns, rows])).astype(np.float32)


def _to_layer(layer: Layer, time: float, size: Size) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the coordinates (x, y) of each pixel [h, w] about the layer's centre, along its axes."""
    rows, columns = np.indices(size, np.float64)
    x, y = columns - layer.motion.locate(time)[0], rows - layer.motion.locate(time)[1]
    cosine, sine = math.cos(layer.motion.spin * time), math.sin(layer.motion.spin * time)
    return cosine * x + sine * y, cosine * y - sine * x
