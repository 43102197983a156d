"""The shapes of the embedded dataset as polygons, one function per class, before size, place and colour.

An outline lives around the origin, y down, roughly within [-1, 1]. Each call varies what the class leaves open (teeth
of a gear, pose of a figure); `deform` then stretches, shears, bends and turns it. Classes differ by shape alone, are
round or pointed, solid or hollow, thick or thin, so that boundaries and fine detail decide what a detector sees.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.random import Generator

Points: TypeAlias = np.ndarray  # [m, 2] float64 (x, y)

# The person keypoints of COCO in COCO's order, so that keypoint heads, flips and OKS constants carry over unchanged.
KEYPOINTS = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip
FLIP_INDICES = (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)  # what each keypoint becomes in a mirror
SKELETON = (
    (16, 14), (14, 12), (17, 15), (15, 13), (12, 13), (6, 12), (7, 13), (6, 7), (6, 8), (7, 9), (8, 10), (9, 11),
    (2, 3), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7),
)  # fmt: skip


class Outline(NamedTuple):
    parts: list[Points]  # polygons, filled as a union; one may touch itself to leave a hole
    joints: Points | None = None  # [K, 2] keypoints in the order of KEYPOINTS


@cache
def rim(points: int) -> Points:
    """The unit circle."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return np.stack([np.cos(angle), np.sin(angle)], 1)


def circle(radius: float, points: int = 32) -> Points:
    return radius * rim(points)


def edges(corners: list[tuple[float, float]], steps: int = 5) -> Points:
    """A polygon with points along its edges, so that bending bends them too."""
    start = np.array(corners)
    along = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    return (start[:, None] + along * (np.roll(start, -1, 0) - start)[:, None]).reshape(-1, 2)


def hollow(outer: Points, radius: float) -> Points:
    """`outer` with a round hole: one polygon that enters and leaves through a slit of zero width."""
    inner = circle(radius, 24)[::-1]
    return np.concatenate([outer, outer[:1], inner[-1:], inner])


def disc(rng: Generator) -> Outline:
    return Outline([circle(1)])


def square(rng: Generator) -> Outline:
    return Outline([edges([(-1, -1), (1, -1), (1, 1), (-1, 1)])])


def triangle(rng: Generator) -> Outline:
    return Outline([edges([(rng.uniform(-0.4, 0.4), -1), (1, 0.8), (-1, 0.8)])])


def bar(rng: Generator) -> Outline:
    half = rng.uniform(0.07, 0.12)
    return Outline([edges([(-1, -half), (1, -half), (1, half), (-1, half)], 10)])


def star(rng: Generator) -> Outline:
    radius = np.where(np.arange(10) % 2, rng.uniform(0.36, 0.44), 1.0)
    corners = rim(10) * radius[:, None]
    return Outline([edges([tuple(corner) for corner in corners], 3)])


def ring(rng: Generator) -> Outline:
    return Outline([hollow(circle(1), rng.uniform(0.5, 0.68))])


def cross(rng: Generator) -> Outline:
    w = rng.uniform(0.22, 0.32)
    return Outline([edges([(-w, -1), (w, -1), (w, -w), (1, -w), (1, w), (w, w),
                           (w, 1), (-w, 1), (-w, w), (-1, w), (-1, -w), (-w, -w)], 3)])  # fmt: skip


def arrow(rng: Generator) -> Outline:
    w, neck = rng.uniform(0.14, 0.2), rng.uniform(-0.25, -0.05)
    return Outline([edges([(0, -1), (0.65, neck), (w, neck), (w, 1), (-w, 1), (-w, neck), (-0.65, neck)], 4)])


def crescent(rng: Generator) -> Outline:
    """The part of a disc that a second disc, shifted aside, leaves over."""
    tip, bulge = rng.uniform(0.7, 0.9) * np.pi, rng.uniform(0.25, 0.5)
    outer = np.linspace(-tip, tip, 28)
    x, y = np.cos(outer), np.sin(outer)
    inner = np.linspace(1, -1, 24)[1:-1]
    depth = x[-1] + (bulge - x[-1]) * np.sqrt(1 - inner**2)
    return Outline([np.concatenate([np.stack([x, y], 1), np.stack([depth, inner * y[-1]], 1)])])


def heart(rng: Generator) -> Outline:
    t = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return Outline([np.stack([np.sin(t) ** 3, -y / 16], 1)])


def gear(rng: Generator) -> Outline:
    teeth = int(rng.integers(7, 10))
    profile = np.array([0.72, 1.0, 1.0, 0.72])
    angle = (np.arange(teeth)[:, None] + np.array([0.0, 0.12, 0.42, 0.54])).ravel() * 2 * np.pi / teeth
    outer = np.stack([np.cos(angle), np.sin(angle)], 1) * np.tile(profile, teeth)[:, None]
    return Outline([hollow(outer, rng.uniform(0.26, 0.36))])


def figure(rng: Generator) -> Outline:
    """A person seen from the front: its left is on our right. Limbs swing freely."""
    joints = _pose(rng)
    limbs = [(5, 7), (7, 9), (6, 8), (8, 10), (11, 13), (13, 15), (12, 14), (14, 16)]
    head = circle(0.21, 20) + joints[0] - (0, 0.02)
    torso = edges([tuple(joints[i] + (side * 0.05, 0)) for i, side in ((5, 1), (11, 1), (12, -1), (6, -1))], 3)
    neck = _capsule(np.array([0, -0.6]), np.array([0, -0.4]), 0.08)
    return Outline([head, torso, neck, *(_capsule(joints[a], joints[b], 0.085) for a, b in limbs)], joints)


def _pose(rng: Generator) -> Points:
    joints = np.zeros((len(KEYPOINTS), 2))
    joints[0] = (0, -0.74)
    joints[1:5] = joints[0] + np.array([(0.07, -0.06), (-0.07, -0.06), (0.17, -0.03), (-0.17, -0.03)])
    arm, forearm = rng.uniform(0.25, 2.5, 2), rng.uniform(-0.3, 1.1, 2)
    thigh, shin = rng.uniform(0.05, 0.65, 2), rng.uniform(-0.45, 0.15, 2)
    for i, side in enumerate((1, -1)):
        joints[5 + i], joints[11 + i] = (side * 0.2, -0.46), (side * 0.13, 0.12)
        joints[7 + i] = joints[5 + i] + _reach(arm[i], 0.33, side)
        joints[9 + i] = joints[7 + i] + _reach(arm[i] + forearm[i], 0.31, side)
        joints[13 + i] = joints[11 + i] + _reach(thigh[i], 0.42, side)
        joints[15 + i] = joints[13 + i] + _reach(thigh[i] + shin[i], 0.42, side)
    return joints


def _reach(angle: float, length: float, side: int) -> Points:
    """Return the offset of a limb at an angle from straight down (0) outwards to straight up (pi)."""
    return length * np.array([side * np.sin(angle), np.cos(angle)])


def _capsule(start: Points, end: Points, radius: float) -> Points:
    x, y = (end - start) * (radius / np.hypot(*(end - start)))
    cap = rim(10)[[8, 9, 0, 1, 2]] @ np.array([[x, y], [-y, x]])
    return np.concatenate([end + cap, start - cap])


DRAWN = (disc, square, triangle, bar, figure, star, ring, cross, arrow, crescent, heart, gear)  # frequent to rare
CLASSES = tuple(outline.__name__ for outline in DRAWN)


def deform(outline: Outline, rng: Generator, turn: float = np.pi) -> Outline:
    """Stretch, shear, bend and rotate by up to `turn`, as one smooth map of parts and joints."""
    stretch = np.exp(rng.uniform(-0.2, 0.2))
    shear = rng.uniform(-0.2, 0.2)
    angle = rng.uniform(-turn, turn)
    cos, sin = np.cos(angle), np.sin(angle)
    turned = np.array([[stretch, shear], [0, 1 / stretch]]) @ np.array([[cos, sin], [-sin, cos]])
    bend, phase = rng.uniform(0.02, 0.07), rng.uniform(0, 2 * np.pi, 2)

    def move(points: Points) -> Points:
        return (points + bend * np.sin(2.2 * points[:, ::-1] + phase)) @ turned

    counts = np.cumsum([len(part) for part in outline.parts])[:-1]
    parts = np.split(move(np.concatenate(outline.parts)), counts)
    return Outline(parts, None if outline.joints is None else move(outline.joints))


def blob(rng: Generator, lobes: float) -> Outline:
    """An irregular closed curve; `lobes` is how far it departs from a circle."""
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    waves = np.sin(np.outer(np.arange(2, 6), angle) + rng.uniform(0, 2 * np.pi, 4)[:, None])
    radius = 1 + lobes * (rng.uniform(0.3, 1, 4) @ waves) / 2
    return Outline([rim(40) * radius[:, None]])


def scribble(rng: Generator) -> Outline:
    """A wavy pen stroke: an open curve, unlike every class."""
    t = np.linspace(-1, 1, 32)
    pulse = rng.uniform(5, 9)
    phase = rng.uniform(0, 2 * np.pi)
    height = rng.uniform(0.2, 0.45)
    line = np.stack([t, height * np.sin(pulse * t + phase)], 1)
    normal = np.stack([-height * pulse * np.cos(pulse * t + phase), np.ones(32)], 1)
    normal *= 0.035 / np.hypot(normal[:, 0], normal[:, 1])[:, None]
    return Outline([np.concatenate([line + normal, (line - normal)[::-1]])])
