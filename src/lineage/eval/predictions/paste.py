"""Masks from crop to file: M x M probabilities inside a float box become a COCO RLE of the whole file.

The definition is detectron2's: every pixel centre of the file samples the M x M grid bilinearly (`grid_sample` with
align_corners=False, zero outside) and is part of the object from one half on.

No pixel is computed. Across, each column of pixels is a blend of two columns of cells; down such a column the value is
linear from one cell's centre to the next, so it passes one half where a line does, and that is where a run of the RLE
starts or ends. Where rounding could decide, that pixel is sampled, in float64: so this is as exact as the definition,
while the cost grows with the width of a box and not with its area.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lineage.eval.predictions.rle import Ints, Rles, Runs, encode_runs

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Coordinate = TypeVar("Coordinate", Floats, Tensor)

HALF = 0.5
TIE = 1e-6  # cells nearer to one half than this, in float32, have their column sampled pixel by pixel
CLOSE = 1e-3  # pixels; a crossing nearer to a pixel's centre has that pixel sampled
BLOCK = 5000  # columns at a time, so that they stay in cache


class Columns(NamedTuple):
    """C columns of pixels, of all masks one after the other, each between two columns of cells."""

    mask: Ints  # [C]
    x: Ints  # [C] in the file
    height: Ints  # [C] of the file
    left: Ints  # [C] row of `cells`; the next one is the column to the right
    weight: Floats  # [C] of the column to the right
    top: Floats  # [C] edges of
    bottom: Floats  # [C] the box
    cells: NDArray[np.float32]  # [D * (M + 2), M + 2] columns of cells, with zeros around each mask

    def values(self, rows: Ints) -> Floats:
        """Return [n, M + 2] the values of columns at the centres of the cells, exactly."""
        left, weight = self.left[rows], self.weight[rows, None]
        return (1 - weight) * self.cells[left].astype(np.float64) + weight * self.cells[left + 1]


# deviates: Detectron (2018) and torchvision round the box to integers and resize the mask into it, which moves
# contours by up to half a pixel; here, as in detectron2, nothing is rounded.
def paste(probabilities: NDArray[np.floating], boxes: NDArray[np.floating], sizes: Ints) -> Rles:
    """Return the RLE of [D, M, M] masks in [D, 4] boxes (x1, y1, x2, y2 in pixels of files).

    sizes: [D, 2] (height, width) of the file of each mask.
    """
    count, cells = probabilities.shape[0], probabilities.shape[-1]
    if count == 0:
        return Rles(np.zeros(0, np.uint8), np.zeros(0, np.int64))
    # 1. Zeros around each mask.
    padded = np.zeros((count, cells + 2, cells + 2), np.float32)
    padded[:, 1:-1, 1:-1] = probabilities.transpose(0, 2, 1)
    # 2. The columns of pixels that a box may reach.
    x1, y1, x2, y2 = boxes.T.astype(np.float64)
    height, last = sizes.T
    first = np.clip(np.floor(x1 - 0.5), 0, last).astype(np.int64)
    stop = np.clip(np.ceil(x2 - 0.5) + 1, first, last).astype(np.int64)
    width = np.where((x2 > x1) & (y2 > y1), stop - first, 0)
    # 3. Their runs of ones, block by block.
    ends = np.cumsum(width)
    runs = []
    for begin, end in _blocks(ends):
        mask = np.repeat(np.arange(begin, end), width[begin:end])
        before = ends[begin:end] - width[begin:end]
        x = np.arange(len(mask)) + np.repeat(first[begin:end] - before + before[0], width[begin:end])
        cell = cell_coordinate(x, x1[mask], x2[mask], cells)
        left = np.clip(np.floor(cell), -1, cells - 1)
        row = mask * (cells + 2) + left.astype(np.int64) + 1
        weight = np.clip(cell - left, 0, 1)
        columns = Columns(mask, x, height[mask], row, weight, y1[mask], y2[mask], padded.reshape(-1, cells + 2))
        runs.append(_find_runs(columns))
    return encode_runs(Runs(*(np.concatenate(parts) for parts in zip(*runs, strict=True))), sizes.prod(1))


def cell_coordinate(pixel: Coordinate, low: Coordinate, high: Coordinate, cells: int) -> Coordinate:
    """Return the position of a pixel's centre among the cells of a box, 0 at the centre of the first cell.

    Rounded as by grid_sample.
    """
    return (((pixel + 0.5 - low) / (high - low) * 2 - 1) + 1) * (cells / 2) - 0.5


def _blocks(ends: Ints) -> list[tuple[int, int]]:
    """Return ranges of masks of about BLOCK columns."""
    cuts = np.unique(np.append(np.searchsorted(ends, np.arange(BLOCK, ends[-1], BLOCK)), len(ends)))
    return [*zip([0, *cuts[:-1].tolist()], cuts.tolist(), strict=True)] if cuts[0] else [(0, int(cuts[-1]))]


def _find_runs(columns: Columns) -> Runs:
    """Return the runs of ones, column by column."""
    # 1. Pixels where a column passes one half.
    position, uncertain = _crossings(columns)
    side = columns.cells.shape[1]
    column = (position.astype(np.uint32) // side).astype(np.int64)  # a block is small; divisions of int64 are slow
    cell = position - column * side
    pixel = _crossing_pixels(columns, column, cell).clip(0, columns.height.take(column))
    # 2. In pairs: a column starts and ends outside, so it passes up, down, up, down, ...
    column, pixel = column[::2], pixel.reshape(-1, 2)
    # 3. Columns that float32 cannot decide are sampled.
    if len(uncertain):
        sampled_column, sampled_pixel = _sample_columns(columns, uncertain)
        column = np.concatenate([column, sampled_column])
        pixel = np.concatenate([pixel, sampled_pixel])
        order = np.argsort(column, kind="stable")
        column, pixel = column[order], pixel[order]
    # 4. Runs that hold a pixel.
    is_run = pixel[:, 1] > pixel[:, 0]
    column, pixel = column[is_run], pixel[is_run]
    positions = pixel + (columns.x * columns.height)[column, None]
    return Runs(positions[:, 0], positions[:, 1], columns.mask[column])


def _crossings(columns: Columns) -> tuple[Ints, Ints]:
    """Return flat indices into [C, M + 2] of cells where a column passes one half before the next cell.

    Also the columns that are too near to one half for float32 to decide. The first and last cell of a column are zero,
    so no crossing lies between two columns.
    """
    values = np.take(columns.cells, columns.left, axis=0)
    slope = np.take(columns.cells, columns.left + 1, axis=0)
    slope -= values
    slope *= columns.weight.astype(np.float32)[:, None]
    values += slope
    is_inside = values >= np.float32(HALF - TIE)
    is_tied = is_inside ^ (values > np.float32(HALF + TIE))
    uncertain = np.flatnonzero(is_tied.any(1)) if is_tied.any() else np.zeros(0, np.int64)
    is_inside[uncertain] = False
    flat = is_inside.ravel()
    return np.flatnonzero(flat[1:] ^ flat[:-1]), uncertain


def _crossing_pixels(columns: Columns, column: Ints, cell: Ints) -> Ints:
    """Return the first pixel on the far side of each crossing, which lies after padded cell `cell` of its column."""
    # 1. The values of the cells before and after.
    cells = columns.cells.shape[1] - 2
    top, bottom = columns.top.take(column), columns.bottom.take(column)
    flat = columns.cells.ravel()
    side = cells + 2
    weight = columns.weight.take(column)
    position = columns.left.take(column) * side + cell
    before = (1 - weight) * flat.take(position) + weight * flat.take(position + side)
    position += 1
    after = (1 - weight) * flat.take(position) + weight * flat.take(position + side)
    # 2. Where the line between them is one half.
    exact = top + (bottom - top) * ((HALF - before) / (after - before) + (cell - 0.5)) / cells - 0.5
    is_rising = after >= HALF
    pixel = np.floor(exact) + 1
    # 3. Pixels too near to it are sampled.
    nearest = np.rint(exact)
    near = np.flatnonzero(np.abs(exact - nearest) < CLOSE)
    if len(near):
        is_inside = sample(columns, column[near], nearest[near, None])[:, 0]
        pixel[near] = nearest[near] + (is_inside != is_rising[near])
    return pixel.astype(np.int64)


def _sample_columns(columns: Columns, rows: Ints) -> tuple[Ints, Ints]:
    """Return the column [n] and the pixels [n, 2] of the runs of columns `rows`, from every pixel."""
    height = columns.height[rows, None]
    pixels = np.arange(height.max(), dtype=np.float64)[None]
    is_inside = np.zeros((len(rows), pixels.size + 2), np.int8)
    is_inside[:, 1:-1] = sample(columns, rows, pixels) & (pixels < height)
    column, pixel = np.nonzero(np.diff(is_inside, axis=1))
    return rows[column[::2]], pixel.reshape(-1, 2)


def sample(columns: Columns, rows: Ints, pixels: Floats) -> Flags:
    """Return [n, p] a mask of the pixels [n or 1, p] of columns `rows` [n] whose value is one half or more."""
    cells = columns.cells.shape[1] - 2
    cell = cell_coordinate(pixels, columns.top[rows, None], columns.bottom[rows, None], cells)
    above = np.clip(np.floor(cell), -1, cells - 1)
    weight, index = cell - above, above.astype(np.int64) + 1
    values = columns.values(rows)
    row = np.arange(len(rows))[:, None]
    value = (1 - weight) * values[row, index] + weight * values[row, index + 1]
    return (value >= HALF) & (cell > -1) & (cell < cells)
