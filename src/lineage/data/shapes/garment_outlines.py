"""Five garments as polygons whose corners are landmarks, in the layout of DeepFashion2 (arXiv:1901.07973).

Each class has landmarks of its own: class c has `LENGTHS[c]` of the slots from `OFFSETS[c]` on. A garment lives around
the origin, y down, roughly within [-1, 1], as its wearer faces us: the left of the wearer is on our right. Each call
varies what the class leaves open, such as the angle of each sleeve.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate

import numpy as np
from numpy.random import Generator

from lineage.data.shapes.outlines import Outline, edges

Corner = tuple[float, float]
Corners = dict[str, Corner]  # landmark -> (x, y), once around, clockwise on the screen from the top of the middle
SIDES = (("left", 1.0), ("right", -1.0))


def short_sleeve_top(rng: Generator) -> Corners:
    corners = _torso(rng, neck=rng.uniform(0.16, 0.24), shoulder=rng.uniform(0.44, 0.52), hem=rng.uniform(0.36, 0.46))
    for name, side in SIDES:
        angle, width = rng.uniform(0.55, 1.25), rng.uniform(0.22, 0.3)
        outer = _along(corners[f"shoulder_{name}"], angle, rng.uniform(0.36, 0.46), side)
        corners[f"cuff_outer_{name}"] = outer
        corners[f"cuff_inner_{name}"] = _across(outer, angle, width, side)
    return corners


def long_sleeve_top(rng: Generator) -> Corners:
    corners = _torso(rng, neck=rng.uniform(0.14, 0.2), shoulder=rng.uniform(0.4, 0.46), hem=rng.uniform(0.32, 0.42))
    for name, side in SIDES:
        upper, width = rng.uniform(0.35, 1.0), rng.uniform(0.19, 0.24)
        lower = upper + rng.uniform(-0.3, 0.7)
        elbow = _along(corners[f"shoulder_{name}"], upper, rng.uniform(0.44, 0.52), side)
        cuff = _along(elbow, lower, rng.uniform(0.44, 0.54), side)
        corners[f"elbow_outer_{name}"] = elbow
        corners[f"cuff_outer_{name}"] = cuff
        corners[f"cuff_inner_{name}"] = _across(cuff, lower, 0.8 * width, side)
        corners[f"elbow_inner_{name}"] = _across(elbow, (upper + lower) / 2, width, side)
    return corners


def trousers(rng: Generator) -> Corners:
    waist = rng.uniform(0.26, 0.34)
    width = rng.uniform(0.2, 0.3)
    crotch = rng.uniform(-0.3, -0.1)
    corners = {"waist_middle": (0.0, rng.uniform(-0.9, -0.86)), "crotch": (0.0, crotch)}
    for name, side in SIDES:
        angle, length = rng.uniform(0.0, 0.3), rng.uniform(0.8, 0.9)
        corners[f"waist_{name}"] = (side * waist, -0.93)
        corners[f"knee_outer_{name}"] = knee = _along((side * (waist + 0.06), -0.7), angle, length, side)
        corners[f"hem_outer_{name}"] = hem = _along(knee, angle + rng.uniform(-0.2, 0.05), length, side)
        corners[f"hem_inner_{name}"] = (hem[0] - side * width, hem[1] + 0.02)
    return corners


def skirt(rng: Generator) -> Corners:
    waist = rng.uniform(0.28, 0.38)
    hem = rng.uniform(0.5, 0.95)
    low = rng.uniform(0.5, 0.9)
    corners = {"waist_middle": (0.0, rng.uniform(-0.76, -0.7)), "hem_middle": (0.0, low + rng.uniform(0.06, 0.16))}
    for name, side in SIDES:
        corners[f"waist_{name}"] = (side * waist, -0.8)
        corners[f"hem_{name}"] = (side * hem * rng.uniform(0.9, 1.1), low)
    return corners


def vest_dress(rng: Generator) -> Corners:
    neck = rng.uniform(0.12, 0.17)
    strap = rng.uniform(0.1, 0.15)
    waist = rng.uniform(0.2, 0.26)
    corners = {"neck_middle": (0.0, rng.uniform(-0.78, -0.66)), "hem_middle": (0.0, rng.uniform(0.98, 1.06))}
    for name, side in SIDES:
        corners[f"neck_{name}"] = (side * neck, -0.98)
        corners[f"shoulder_{name}"] = (side * (neck + strap), -0.96)
        corners[f"armpit_{name}"] = (side * rng.uniform(0.27, 0.31), -0.55)
        corners[f"waist_{name}"] = (side * waist, -0.18)
        corners[f"hem_{name}"] = (side * rng.uniform(0.42, 0.62), 0.92)
    return corners


def _torso(rng: Generator, *, neck: float, shoulder: float, hem: float) -> Corners:
    """Return the corners of a top without its sleeves; arguments are half widths."""
    corners = {"neck_middle": (0.0, rng.uniform(-0.7, -0.55))}
    for name, side in SIDES:
        corners[f"neck_{name}"] = (side * neck, -0.82)
        corners[f"shoulder_{name}"] = (side * shoulder, -0.7)
        corners[f"armpit_{name}"] = (side * (shoulder - 0.08), rng.uniform(-0.34, -0.26))
        corners[f"hem_{name}"] = (side * hem, 0.8)
    return corners


def _along(start: Corner, angle: float, length: float, side: float) -> Corner:
    """Return a point at an angle from straight down (0) to outwards (pi / 2)."""
    return start[0] + side * length * float(np.sin(angle)), start[1] + length * float(np.cos(angle))


def _across(start: Corner, angle: float, width: float, side: float) -> Corner:
    """Return the point on the body's side of a sleeve of this direction and width."""
    return start[0] - side * width * float(np.cos(angle)), start[1] + width * float(np.sin(angle))


# One half of each outline, from the middle of the top down the left side of the wearer; the right half mirrors it.
HALVES: dict[Callable[[Generator], Corners], tuple[str, ...]] = {
    short_sleeve_top: ("neck_middle", "neck", "shoulder", "cuff_outer", "cuff_inner", "armpit", "hem"),
    long_sleeve_top: (
        "neck_middle", "neck", "shoulder", "elbow_outer", "cuff_outer", "cuff_inner", "elbow_inner", "armpit", "hem",
    ),
    trousers: ("waist_middle", "waist", "knee_outer", "hem_outer", "hem_inner", "crotch"),
    skirt: ("waist_middle", "waist", "hem", "hem_middle"),
    vest_dress: ("neck_middle", "neck", "shoulder", "armpit", "waist", "hem", "hem_middle"),
}  # fmt: skip
MIDDLES = ("neck_middle", "waist_middle", "hem_middle", "crotch")
SIGMAS = {  # of the sizes that DeepFashion2 has for such landmarks
    "neck_middle": 0.015, "neck": 0.017, "shoulder": 0.03, "elbow_outer": 0.04, "elbow_inner": 0.04,
    "cuff_outer": 0.05, "cuff_inner": 0.05, "armpit": 0.043, "waist": 0.027, "waist_middle": 0.02, "crotch": 0.036,
    "knee_outer": 0.045, "hem": 0.05, "hem_middle": 0.042, "hem_outer": 0.028, "hem_inner": 0.039,
}  # fmt: skip


def _once_around(half: tuple[str, ...]) -> tuple[str, ...]:
    """Return the landmarks of an outline in their order: down the left side of the wearer, up the right one."""
    left = [name if name in MIDDLES else f"{name}_left" for name in half]
    right = [f"{name}_right" for name in reversed(half) if name not in MIDDLES]
    return (*left, *right)


DRAWN = tuple(HALVES)
CLASSES = tuple(draw.__name__.replace("_", " ") for draw in DRAWN)
PARTS = tuple(_once_around(half) for half in HALVES.values())  # names of the landmarks of each class
LENGTHS = tuple(map(len, PARTS))
OFFSETS = tuple(accumulate((0, *LENGTHS[:-1])))
LANDMARKS = tuple(f"{draw.__name__}_{name}" for draw, names in zip(DRAWN, PARTS, strict=True) for name in names)
TOLERANCES = tuple(SIGMAS[name.removesuffix("_left").removesuffix("_right")] for names in PARTS for name in names)
SKELETON = tuple(
    (offset + i, offset + (i + 1) % length)
    for offset, length in zip(OFFSETS, LENGTHS, strict=True)
    for i in range(length)
)


def draw_garment(label: int, rng: Generator) -> Outline:
    """Return the outline of a garment of a class, its landmarks in the order of `PARTS`."""
    corners = DRAWN[label](rng)
    points = [corners[name] for name in PARTS[label]]
    return Outline([edges(points)], np.array(points))
