"""Boundary IoU (Cheng et al., arXiv:2103.16562, section 4): the overlap of the pixels near two masks' contours.

The boundary of a mask are its pixels at most d from the outside, in the chessboard distance; d is 2 % of the image's
diagonal, and beyond the image is outside. Boundary AP replaces the mask IoU of COCO's evaluation by the smaller of the
two, since by its boundary alone a ring matches a disc. Masks are eroded inside their bounding boxes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import hotcoco
import numpy as np
from numpy.typing import NDArray

from lineage.eval.predictions.rle import MaskWindows, encode

RATIO = 0.02  # of the diagonal

Rle = dict[str, Any]


def boundary_width(size: Sequence[int]) -> int:
    """Return d in pixels for an image of (height, width)."""
    return max(1, round(RATIO * math.hypot(*size)))


def boundaries(rles: list[Rle]) -> list[Rle]:
    """Return the boundary of each mask; all masks are of one image."""
    if not rles:
        return []
    height, width = rles[0]["size"]
    d = boundary_width((height, width))
    x, y, w, h = np.array(hotcoco.mask.to_bbox(rles)).reshape(-1, 4).astype(np.int64).T
    pixels = [np.zeros(1, bool)]
    for row, rle in enumerate(rles):
        window = hotcoco.mask.decode(rle)[y[row] : y[row] + h[row], x[row] : x[row] + w[row]]
        pixels.append(np.pad(_edge(window, d), ((0, 1), (0, 0))).T.ravel())
    sizes = w * (h + 1)
    windows = MaskWindows(np.concatenate(pixels), np.cumsum(sizes) - sizes + 1, np.stack([x, y], 1), h)
    return [{"size": [height, width], "counts": text} for text in encode(windows, (height, width)).counts()]


def boundaries_of_images(rles: list[Rle], image: NDArray[np.int64]) -> list[Rle]:
    """Return the boundary of each mask; `image` [n] identifies the image of a mask."""
    edges: list[Rle] = [{}] * len(rles)
    order = np.argsort(image, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(image[order])) + 1):
        for row, edge in zip(rows.tolist(), boundaries([rles[row] for row in rows.tolist()]), strict=True):
            edges[row] = edge
    return edges


def _edge(window: NDArray[np.uint8], d: int) -> NDArray[np.bool_]:
    """Return the pixels of a mask at most d from the background; the outside of the window is background."""
    padded = np.pad(window, d)
    core = cv2.erode(padded, np.ones((2 * d + 1, 2 * d + 1), np.uint8))[d:-d, d:-d] if window.size else window
    return (window > core).astype(bool)
