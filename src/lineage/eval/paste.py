"""Predicted masks back into the image: M x M probabilities inside a float box become a COCO RLE of the whole file.

The definition is detectron2's: every pixel centre of the file samples the M x M grid bilinearly (`grid_sample` with
align_corners=False, zero outside) and is part of the object from one half on. A sample is two weights per axis, so a
window is two small matrix products; pixels outside the box cannot reach one half and are never computed.

In float64, because in float32 a pixel near one half depends on the order of the additions.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lineage.eval.rle import Columns, Ints, Rles, encode

Floats = NDArray[np.float64]

PRODUCTS = 1 << 18  # multiplications up to which OpenBLAS keeps a matrix product on one thread


class Axis(NamedTuple):
    """One axis of D windows: the pixels [first, first + pixels) and their weights over the M cells of the mask."""

    first: Ints  # [D]
    pixels: Ints  # [D]
    weights: Floats  # [sum(pixels), M]


# deviates: Detectron (2018) and torchvision round the box to integers and resize the mask into it, which moves
# contours by up to half a pixel; here, as in detectron2, nothing is rounded.
def paste(probabilities: NDArray[np.floating], boxes: NDArray[np.floating], size: tuple[int, int]) -> Rles:
    """[D, M, M] masks in [D, 4] boxes (file pixels) on a canvas of `size` (height, width)."""
    if len(boxes) == 0:
        return Rles(np.zeros(0, np.uint8), np.zeros(0, np.int64))
    x1, y1, x2, y2 = boxes.T.astype(np.float64)
    cells = probabilities.shape[-1]
    across, down = _axis(x1, x2, size[1], cells), _axis(y1, y2, size[0], cells)
    return encode(_columns(probabilities.astype(np.float64), across, down), size)


def _axis(low: Floats, high: Floats, limit: int, cells: int) -> Axis:
    """The pixels whose centres lie in [low, high], up to one more on each side, inside the canvas."""
    first = np.clip(np.floor(low - 0.5), 0, limit).astype(np.int64)
    stop = np.clip(np.ceil(high - 0.5) + 1, first, limit).astype(np.int64)
    count = np.where(high > low, stop - first, 0)
    starts = np.cumsum(count) - count
    centre = np.arange(count.sum()) + 0.5 + np.repeat(first - starts, count)
    low, extent = np.repeat(low, count), np.repeat(high - low, count)
    spot = (((centre - low) / extent * 2 - 1) + 1) * (cells / 2) - 0.5
    left = np.clip(np.floor(spot), -2, cells)
    weights = np.zeros((len(spot), cells + 4))  # two columns of padding on each side take what falls outside the mask
    row, column = np.arange(len(spot)), left.astype(np.int64) + 2
    weights[row, column + 1] = spot - left
    weights[row, column] = 1 - (spot - left)
    return Axis(first, count, weights[:, 2:-2])


def _columns(masks: Floats, across: Axis, down: Axis) -> Columns:
    sizes = across.pixels * (down.pixels + 1)
    ends = np.cumsum(sizes)
    pixels = np.zeros(ends[-1] + 1, dtype=bool)
    offsets = ends - sizes + 1
    x_stops, y_stops = np.cumsum(across.pixels), np.cumsum(down.pixels)
    spans = zip(masks, offsets, across.pixels, down.pixels, x_stops, y_stops, strict=True)
    for mask, start, width, height, x, y in spans:
        window = pixels[start : start + width * (height + 1)].reshape(width, height + 1)[:, :height]
        _fill(window, across.weights[x - width : x], mask.T, down.weights[y - height : y].T)
    return Columns(pixels, offsets, np.stack([across.first, down.first], axis=1), down.pixels)


def _fill(window: NDArray[np.bool_], across: Floats, mask: Floats, down: Floats) -> None:
    """Pixels from one half on, some columns at a time: they stay in cache, and BLAS wakes no second thread for them."""
    width, height = window.shape
    block = max(1, PRODUCTS // (len(mask) * max(height, len(mask))))
    for x in range(0, width, block):
        values = (across[x : x + block] @ mask) @ down
        np.greater_equal(values, 0.5, out=window[x : x + block])
