"""Masks from crop to file: M x M probabilities inside a float box become a COCO RLE of the whole file.

The definition is detectron2's: every pixel centre of the file samples the M x M grid bilinearly (`grid_sample` with
align_corners=False, zero outside) and is part of the object from one half on.

No pixel is computed. Across, each column of pixels is a blend of two columns of cells; down such a column the value is
linear from one cell's centre to the next, so it passes one half where a line does, and that is where a run of the RLE
starts or ends. What rounding could decide is decided by sampling that pixel, in float64: then it is as exact as the
definition, while the cost grows with the width of a box and not with its area.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lineage.eval.rle import Ints, Rles, from_runs

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

HALF = 0.5
TIE = 1e-9  # cells nearer to one half than this have their column sampled pixel by pixel
CLOSE = 1e-3  # pixels; a crossing nearer to a pixel's centre has that pixel sampled
BLOCK = 3000  # columns at a time, so that they stay in cache


class Columns(NamedTuple):
    """C columns of pixels, of all masks one after the other."""

    mask: Ints  # [C]
    x: Ints  # [C] in the canvas
    values: Floats  # [C, M + 2] at the centres of the cells, from the one before the first to the one after the last


# deviates: Detectron (2018) and torchvision round the box to integers and resize the mask into it, which moves
# contours by up to half a pixel; here, as in detectron2, nothing is rounded.
def paste(probabilities: NDArray[np.floating], boxes: NDArray[np.floating], size: tuple[int, int]) -> Rles:
    """[D, M, M] masks in [D, 4] boxes (file pixels) on a canvas of `size` (height, width)."""
    count, cells = probabilities.shape[0], probabilities.shape[-1]
    if count == 0:
        return Rles(np.zeros(0, np.uint8), np.zeros(0, np.int64))
    x1, y1, x2, y2 = boxes.T.astype(np.float64)
    padded = np.zeros((count, cells + 2, cells + 2))
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
        columns = Columns(mask, x, _blend(padded, mask, spot(x, x1[mask], x2[mask], cells)))
        runs.append(_runs(columns, y1[mask], y2[mask], size[0]))
    starts, stops, owner = (np.concatenate(parts) for parts in zip(*runs, strict=True))
    return from_runs(starts, stops, owner, count, size)


def spot(pixel: NDArray[np.number], low: Floats, high: Floats, cells: int) -> Floats:
    """Where a pixel's centre lies among the cells of a box, 0 at the centre of the first; rounded as by grid_sample."""
    return (((pixel + 0.5 - low) / (high - low) * 2 - 1) + 1) * (cells / 2) - 0.5


def _blocks(ends: Ints) -> list[tuple[int, int]]:
    """Ranges of masks of about BLOCK columns."""
    cuts = np.unique(np.append(np.searchsorted(ends, np.arange(BLOCK, ends[-1], BLOCK)), len(ends)))
    return [*zip([0, *cuts[:-1].tolist()], cuts.tolist(), strict=True)] if cuts[0] else [(0, int(cuts[-1]))]


def _blend(padded: Floats, mask: Ints, at: Floats) -> Floats:
    """[C, M + 2] the two columns of cells beside each spot, weighted."""
    side = padded.shape[1]
    left = np.clip(np.floor(at), -1, side - 3)
    part = np.clip(at - left, 0, 1)[:, None]
    flat = padded.reshape(-1, side)
    row = mask * side + left.astype(np.int64) + 1
    values = flat[row]
    values *= 1 - part
    after = flat[row + 1]
    after *= part
    values += after
    return values


def _runs(columns: Columns, low: Floats, high: Floats, height: int) -> tuple[Ints, Ints, Ints]:
    """Canvas positions where the runs of ones start and end, column by column, and the mask of each."""
    inside = columns.values >= HALF
    tied = (np.abs(columns.values - HALF) < TIE).any(1)
    cross = inside[:, 1:] != inside[:, :-1]
    cross[tied] = False
    column, cell = np.divmod(np.flatnonzero(cross), cross.shape[1])
    pixel = _crossings(columns.values, column, cell, low[column], high[column]).clip(0, height)
    column, pixel = column[::2], pixel.reshape(-1, 2)  # a column starts and ends outside: up, down, up, down, ...
    if tied.any():
        more = _sampled(columns.values, np.flatnonzero(tied), low, high, height)
        column, pixel = np.concatenate([column, more[0]]), np.concatenate([pixel, more[1]])
        order = np.argsort(column, kind="stable")
        column, pixel = column[order], pixel[order]
    some = pixel[:, 1] > pixel[:, 0]
    column, pixel = column[some], pixel[some]
    positions = pixel + (columns.x[column] * height)[:, None]
    return positions[:, 0], positions[:, 1], columns.mask[column]


def _crossings(values: Floats, column: Ints, cell: Ints, low: Floats, high: Floats) -> Ints:
    """The first pixel on the far side of each place where a column passes one half, after padded cell `cell`."""
    cells = values.shape[1] - 2
    before, after = values[column, cell], values[column, cell + 1]
    at = cell - 1 + (HALF - before) / (after - before)
    exact = low + (high - low) * (at + 0.5) / cells - 0.5
    rising = after >= HALF
    pixel = np.where(rising, np.ceil(exact), np.floor(exact) + 1)
    near = np.flatnonzero(np.abs(exact - np.rint(exact)) < CLOSE)
    if len(near):
        candidate = np.rint(exact[near])
        inside = sample(values[column[near]], candidate[:, None], low[near], high[near])[:, 0]
        pixel[near] = candidate + (inside != rising[near])
    return pixel.astype(np.int64)


def _sampled(values: Floats, rows: Ints, low: Floats, high: Floats, height: int) -> tuple[Ints, Ints]:
    """Runs [n, 2] of pixels of some columns, and the column of each, from every pixel."""
    inside = np.zeros((len(rows), height + 2), np.int8)
    inside[:, 1:-1] = sample(values[rows], np.arange(height)[None], low[rows], high[rows])
    column, pixel = np.nonzero(np.diff(inside, axis=1))
    return rows[column[::2]], pixel.reshape(-1, 2)


def sample(values: Floats, pixels: NDArray[np.number], low: Floats, high: Floats) -> Flags:
    """[C, M + 2] columns at [C or 1, n] pixels: whether the value is one half or more."""
    cells = values.shape[1] - 2
    at = spot(pixels, low[:, None], high[:, None], cells)
    left = np.clip(np.floor(at), -1, cells - 1)
    part = at - left
    place = left.astype(np.int64) + 1
    row = np.arange(len(values))[:, None]
    value = (1 - part) * values[row, place] + part * values[row, place + 1]
    return (value >= HALF) & (at > -1) & (at < cells)
