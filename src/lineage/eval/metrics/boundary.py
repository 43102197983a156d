"""Boundary IoU (Cheng et al., arXiv:2103.16562, section 4): the overlap of the pixels near two masks' contours.

The boundary of a mask are its pixels at most d from the outside, in the chessboard distance; d is 2 % of the image's
diagonal, and beyond the image is outside. Boundary AP replaces the mask IoU of COCO's evaluation by the smaller of the
two, since a boundary alone scores a ring like a disc. Masks are eroded inside their bounding boxes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import hotcoco
import numpy as np
from numpy.typing import NDArray

from lineage.eval.predictions.rle import Columns, encode

RATIO = 0.02  # of the diagonal

Rle = dict[str, Any]


def thickness(size: Sequence[int]) -> int:
    """Pixels of d in an image of (height, width)."""
    return max(1, round(RATIO * math.hypot(*size)))


def boundaries(rles: list[Rle]) -> list[Rle]:
    """The boundary of each mask; all masks are of one image."""
    if not rles:
        return []
    height, width = rles[0]["size"]
    d = thickness((height, width))
    x, y, w, h = np.array(hotcoco.mask.to_bbox(rles)).reshape(-1, 4).astype(np.int64).T
    pixels = [np.zeros(1, bool)]
    for place, rle in enumerate(rles):
        window = hotcoco.mask.decode(rle)[y[place] : y[place] + h[place], x[place] : x[place] + w[place]]
        pixels.append(np.pad(_edge(window, d), ((0, 1), (0, 0))).T.ravel())
    sizes = w * (h + 1)
    windows = Columns(np.concatenate(pixels), np.cumsum(sizes) - sizes + 1, np.stack([x, y], 1), h)
    return [{"size": [height, width], "counts": text} for text in encode(windows, (height, width)).counts()]


def _edge(window: NDArray[np.uint8], d: int) -> NDArray[np.bool_]:
    """Pixels of a mask at most d from what is not; the outside of the window is not."""
    padded = np.pad(window, d)
    core = cv2.erode(padded, np.ones((2 * d + 1, 2 * d + 1), np.uint8))[d:-d, d:-d] if window.size else window
    return (window > core).astype(bool)


def of_images(rles: list[Rle], image: NDArray[np.int64]) -> list[Rle]:
    """The boundary of each mask, `image` telling which image a mask belongs to."""
    edges: list[Rle] = [{}] * len(rles)
    order = np.argsort(image, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(image[order])) + 1):
        for row, edge in zip(rows.tolist(), boundaries([rles[row] for row in rows.tolist()]), strict=True):
            edges[row] = edge
    return edges
