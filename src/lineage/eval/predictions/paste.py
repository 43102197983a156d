"""Masks from crop to file: M x M probabilities inside a float box become a COCO RLE of the whole file.

The definition is detectron2's: every pixel centre of the file samples the M x M grid bilinearly (`grid_sample` with
align_corners=False, zero outside) and is part of the object from one half on.

No pixel is computed. Across, each column of pixels is a blend of two columns of cells; down such a column the value is
linear from one cell's centre to the next, so it passes one half where a line does, and that is where a run of the RLE
starts or ends. What rounding could decide is decided by sampling that pixel, in float64: so this is as exact as the
definition, while the cost grows with the width of a box and not with its area.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lineage.eval.predictions.rle import Ints, Rles, from_runs

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

HALF = 0.5
TIE = 1e-6  # cells nearer to one half than this, in float32, have their column sampled pixel by pixel
CLOSE = 1e-3  # pixels; a crossing nearer to a pixel's centre has that pixel sampled
BLOCK = 5000  # columns at a time, so that they stay in cache


class Columns(NamedTuple):
    """C columns of pixels, of all masks one after the other, each between two columns of cells."""

    mask: Ints  # [C]
    x: Ints  # [C] in the canvas
    left: Ints  # [C] row of `cells`; the next one is the column to the right
    part: Floats  # [C] weight of the one to the right
    low: Floats  # [C] upper and
    high: Floats  # [C] lower edge of the box
    cells: NDArray[np.float32]  # [D * (M + 2), M + 2] columns of cells, with zeros around each mask

    def values(self, rows: Ints) -> Floats:
        """[n, M + 2] at the centres of the cells, exactly."""
        left, part = self.left[rows], self.part[rows, None]
        return (1 - part) * self.cells[left].astype(np.float64) + part * self.cells[left + 1]


# deviates: Detectron (2018) and torchvision round the box to integers and resize the mask into it, which moves
# contours by up to half a pixel; here, as in detectron2, nothing is rounded.
def paste(probabilities: NDArray[np.floating], boxes: NDArray[np.floating], size: tuple[int, int]) -> Rles:
    """[D, M, M] float32 masks in [D, 4] boxes (file pixels) on a canvas of `size` (height, width)."""
    count, cells = probabilities.shape[0], probabilities.shape[-1]
    if count == 0:
        return Rles(np.zeros(0, np.uint8), np.zeros(0, np.int64))
    x1, y1, x2, y2 = boxes.T.astype(np.float64)
    padded = np.zeros((count, cells + 2, cells + 2), np.float32)
    padded[:, 1:-1, 1:-1] = probabilities.transpose(0, 2, 1)
    first = np.clip(np.floor(x1 - 0.5), 0, size[1]).astype(np.int64)
    stop = np.clip(np.ceil(x2 - 0.5) + 1, first, size[1]).astype(np.int64)
    width = np.where((x2 > x1) & (y2 > y1), stop - first, 0)
    ends = np.cumsum(width)
    runs = []
    for begin, end in _blocks(ends):
        mask = np.repeat(np.arange(begin, end), width[begin:end])
        before = ends[begin:end] - width[begin:end]
        x = np.arange(len(mask)) + np.repeat(first[begin:end] - before + before[0], width[begin:end])
        at = spot(x, x1[mask], x2[mask], cells)
        left = np.clip(np.floor(at), -1, cells - 1)
        row = mask * (cells + 2) + left.astype(np.int64) + 1
        columns = Columns(mask, x, row, np.clip(at - left, 0, 1), y1[mask], y2[mask], padded.reshape(-1, cells + 2))
        runs.append(_runs(columns, size[0]))
    starts, stops, owner = (np.concatenate(parts) for parts in zip(*runs, strict=True))
    return from_runs(starts, stops, owner, count, size)


def spot(pixel: Floats | Ints, low: Floats, high: Floats, cells: int) -> Floats:
    """Where a pixel's centre lies among the cells of a box, 0 at the centre of the first; rounded as by grid_sample."""
    return (((pixel + 0.5 - low) / (high - low) * 2 - 1) + 1) * (cells / 2) - 0.5


def _blocks(ends: Ints) -> list[tuple[int, int]]:
    """Ranges of masks of about BLOCK columns."""
    cuts = np.unique(np.append(np.searchsorted(ends, np.arange(BLOCK, ends[-1], BLOCK)), len(ends)))
    return [*zip([0, *cuts[:-1].tolist()], cuts.tolist(), strict=True)] if cuts[0] else [(0, int(cuts[-1]))]


def _runs(columns: Columns, height: int) -> tuple[Ints, Ints, Ints]:
    """Canvas positions where the runs of ones start and end, column by column, and the mask of each."""
    place, tied = _passes(columns)
    side = columns.cells.shape[1]
    column = (place.astype(np.uint32) // side).astype(np.int64)  # a block is small; divisions of int64 are slow
    cell = place - column * side
    pixel = _crossings(columns, column, cell).clip(0, height)
    column, pixel = column[::2], pixel.reshape(-1, 2)  # a column starts and ends outside: up, down, up, down, ...
    if len(tied):
        more = _sampled(columns, tied, height)
        column, pixel = np.concatenate([column, more[0]]), np.concatenate([pixel, more[1]])
        order = np.argsort(column, kind="stable")
        column, pixel = column[order], pixel[order]
    some = pixel[:, 1] > pixel[:, 0]
    column, pixel = column[some], pixel[some]
    positions = pixel + (columns.x[column] * height)[:, None]
    return positions[:, 0], positions[:, 1], columns.mask[column]


def _passes(columns: Columns) -> tuple[Ints, Ints]:
    """Places in [C, M + 2] where a column passes one half before the next cell; and columns where float32 cannot tell.

    The first and last cell are zero, so nothing passes from one column to the next.
    """
    values = np.take(columns.cells, columns.left, axis=0)
    slope = np.take(columns.cells, columns.left + 1, axis=0)
    slope -= values
    slope *= columns.part.astype(np.float32)[:, None]
    values += slope
    inside = values >= np.float32(HALF - TIE)
    unsure = inside ^ (values > np.float32(HALF + TIE))
    tied = np.flatnonzero(unsure.any(1)) if unsure.any() else np.zeros(0, np.int64)
    inside[tied] = False
    flat = inside.ravel()
    return np.flatnonzero(flat[1:] ^ flat[:-1]), tied


def _crossings(columns: Columns, column: Ints, cell: Ints) -> Ints:
    """The first pixel on the far side of each place where a column passes one half, after padded cell `cell`."""
    cells = columns.cells.shape[1] - 2
    low, high = columns.low.take(column), columns.high.take(column)
    flat, side, part = columns.cells.ravel(), cells + 2, columns.part.take(column)
    place = columns.left.take(column) * side + cell
    before = (1 - part) * flat.take(place) + part * flat.take(place + side)
    place += 1
    after = (1 - part) * flat.take(place) + part * flat.take(place + side)
    exact = low + (high - low) * ((HALF - before) / (after - before) + (cell - 0.5)) / cells - 0.5
    rising = after >= HALF
    pixel = np.floor(exact) + 1
    nearest = np.rint(exact)
    near = np.flatnonzero(np.abs(exact - nearest) < CLOSE)
    if len(near):
        inside = sample(columns, column[near], nearest[near, None])[:, 0]
        pixel[near] = nearest[near] + (inside != rising[near])
    return pixel.astype(np.int64)


def _sampled(columns: Columns, rows: Ints, height: int) -> tuple[Ints, Ints]:
    """Runs [n, 2] of pixels of some columns, and the column of each, from every pixel."""
    inside = np.zeros((len(rows), height + 2), np.int8)
    inside[:, 1:-1] = sample(columns, rows, np.arange(height)[None])
    column, pixel = np.nonzero(np.diff(inside, axis=1))
    return rows[column[::2]], pixel.reshape(-1, 2)


def sample(columns: Columns, rows: Ints, pixels: Floats | Ints) -> Flags:
    """Some columns [n] at [n or 1, p] pixels: whether the value is one half or more."""
    cells = columns.cells.shape[1] - 2
    at = spot(pixels, columns.low[rows, None], columns.high[rows, None], cells)
    left = np.clip(np.floor(at), -1, cells - 1)
    part, place = at - left, left.astype(np.int64) + 1
    values, row = columns.values(rows), np.arange(len(rows))[:, None]
    value = (1 - part) * values[row, place] + part * values[row, place + 1]
    return (value >= HALF) & (at > -1) & (at < cells)
