"""Polygons of a mask along its pixel edges, so exact that rasterising them returns the mask.

Every 4-connected part becomes one polygon. Polygons of COCO, LVIS and Cityscapes have no holes, so a hole is entered
and left through a slit of zero width, which covers no pixel.
"""

from __future__ import annotations

import numpy as np

Corner = tuple[int, int]  # (x, y)


def mask_to_polygons(mask: np.ndarray) -> list[list[float]]:
    """Return COCO polygons [x1, y1, x2, y2, ...] of a mask [h, w], outlines clockwise."""
    loops = trace_loops(find_edges(mask))
    outlines = [loop for loop in loops if compute_area(loop) > 0]
    for hole in (loop for loop in loops if compute_area(loop) < 0):
        owner = min((loop for loop in outlines if surrounds(loop, hole)), key=compute_area)
        owner += [owner[0], *hole, hole[0]]
    return [[float(side) for corner in loop for side in corner] for loop in outlines]


def find_edges(mask: np.ndarray) -> dict[Corner, set[Corner]]:
    """Return unit steps around the mask with the inside on the right hand: corner -> directions that leave it."""
    padded = np.pad(mask.astype(np.int8), 1)
    leaving: dict[Corner, set[Corner]] = {}
    down, across = np.diff(padded, axis=0)[:, 1:-1], np.diff(padded, axis=1)[1:-1]
    steps = (  # where the inside begins or ends, from which corner of that edge, in which direction
        (down == 1, (0, 0), (1, 0)),
        (down == -1, (1, 0), (-1, 0)),
        (across == 1, (0, 1), (0, -1)),
        (across == -1, (0, 0), (0, 1)),
    )
    for is_edge, (right, below), direction in steps:
        for y, x in np.argwhere(is_edge).tolist():
            leaving.setdefault((x + right, y + below), set()).add(direction)
    return leaving


def trace_loops(leaving: dict[Corner, set[Corner]]) -> list[list[Corner]]:
    """Return closed loops of corners; where two parts touch at a corner, turn right: that stays on the same part."""
    starts = [(corner, step) for corner, steps in leaving.items() for step in steps]
    walked: set[tuple[Corner, Corner]] = set()
    loops = []
    for corner, step in starts:
        loop = []
        while (corner, step) not in walked:
            walked.add((corner, step))
            before, corner = step, (corner[0] + step[0], corner[1] + step[1])
            step = next(turn for turn in turns(before) if turn in leaving[corner])
            if step != before:
                loop.append(corner)
        if loop:
            loops.append(loop)
    return loops


def turns(step: Corner) -> tuple[Corner, Corner, Corner]:
    """Return right, straight ahead, left (y points down)."""
    x, y = step
    return (-y, x), step, (y, -x)


def compute_area(loop: list[Corner]) -> float:
    """Return the area: positive for outlines, negative for holes."""
    x, y = np.array(loop).T
    return float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum()) / 2


def surrounds(loop: list[Corner], hole: list[Corner]) -> bool:
    """Return whether the loop contains the hole: count its edges to the left of the pixel inside the hole's edge."""
    (x1, y1), (x2, y2) = hole[0], hole[1]
    dx, dy = np.sign(x2 - x1), np.sign(y2 - y1)
    px, py = x1 + (dx - dy) / 2, y1 + (dx + dy) / 2
    x, y = np.array(loop).T
    ends = np.roll(y, -1)
    crossed = (x == np.roll(x, -1)) & (np.minimum(y, ends) < py) & (py < np.maximum(y, ends)) & (x < px)
    return bool(crossed.sum() % 2)
