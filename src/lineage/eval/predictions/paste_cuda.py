"""`paste` in torch, so that the masks of a batch become text where the network left them, with the same bytes.

On an H200 the network detects in more images a second than two threads of the CPU can paste. Here the CPU launches
some 300 operations for a batch, whatever its size, and receives the characters. On a CPU it takes three times as long
as NumPy's operations do, so there `paste` is used. Each step has its namesake in paste.py, which explains it.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lineage.eval.predictions.paste import CLOSE, HALF, TIE, cell_coordinate
from lineage.eval.predictions.rle import Rles
from lineage.eval.predictions.rle_cuda import Runs, encode_runs

BLOCK = 2**23  # cells of columns at a time, 32 MiB in float32
SAMPLED = 2**22  # pixels at a time


class Columns(NamedTuple):
    """C columns of pixels, of all masks one after the other, each between two columns of cells."""

    mask: Tensor  # [C]
    x: Tensor  # [C] in the file
    height: Tensor  # [C] of the file
    left: Tensor  # [C] row of `cells`; the next one is the column to the right
    weight: Tensor  # [C] float64, of the column to the right
    top: Tensor  # [C] float64, edges of
    bottom: Tensor  # [C] float64, the box
    cells: Tensor  # [D * (M + 2), M + 2] float32, columns of cells with zeros around each mask


def paste_cuda(probabilities: Tensor, boxes: Tensor, sizes: Tensor) -> Rles:
    """Return the RLE of [D, M, M] masks in [D, 4] boxes (x1, y1, x2, y2 in pixels of files).

    sizes: [D, 2] int64 (height, width) of the file of each mask.
    """
    count, cells = probabilities.shape[0], probabilities.shape[-1]
    if count == 0:
        return Rles(np.zeros(0, np.uint8), np.zeros(0, np.int64))
    # 1. Zeros around each mask.
    padded = torch.nn.functional.pad(probabilities.float().transpose(1, 2), (1, 1, 1, 1)).reshape(-1, cells + 2)
    # 2. The columns of pixels that a box may reach.
    x1, y1, x2, y2 = boxes.double().unbind(1)
    height, last = sizes.unbind(1)
    first = (x1 - 0.5).floor().long().clamp(min=0).minimum(last)
    stop = ((x2 - 0.5).ceil().long() + 1).maximum(first).minimum(last)
    width = torch.where((x2 > x1) & (y2 > y1), stop - first, 0)
    # 3. Their runs of ones, block by block.
    runs = []
    for begin, end in _blocks(width, BLOCK // (cells + 2)):
        of_block = width[begin:end]
        mask = torch.repeat_interleave(torch.arange(begin, end, device=width.device), of_block)
        before = of_block.cumsum(0) - of_block
        x = torch.arange(len(mask), device=width.device) + (first[begin:end] - before)[mask - begin]
        cell = cell_coordinate(x.double(), x1[mask], x2[mask], cells)
        left = cell.floor().clamp(-1, cells - 1)
        row = mask * (cells + 2) + left.long() + 1
        weight = (cell - left).clamp(0, 1)
        runs.append(_find_runs(Columns(mask, x, height[mask], row, weight, y1[mask], y2[mask], padded)))
    return encode_runs(Runs(*(torch.cat(parts) for parts in zip(*runs, strict=True))), sizes.prod(1))


def _blocks(width: Tensor, columns: int) -> list[tuple[int, int]]:
    """Return ranges of masks of about that many columns, at least one mask each."""
    ends = width.cumsum(0).cpu().numpy()
    cuts = np.searchsorted(ends, np.arange(columns, ends[-1], columns)) + 1
    edges = np.unique([0, *cuts, len(ends)]).tolist()
    return [*pairwise(edges)]


def _find_runs(columns: Columns) -> Runs:
    """Return the runs of ones, column by column."""
    # 1. Pixels where a column passes one half.
    position, uncertain = _crossings(columns)
    side = columns.cells.shape[1]
    column = position // side
    pixel = _crossing_pixels(columns, column, position - column * side)
    # 2. In pairs: a column starts and ends outside, so it passes up, down, up, down, ...
    column, pixel = column[::2], pixel.view(-1, 2)
    # 3. Columns that float32 cannot decide are sampled.
    if len(uncertain):
        sampled_column, sampled_pixel = _sample_columns(columns, uncertain)
        column, order = torch.cat([column, sampled_column]).sort(stable=True)
        pixel = torch.cat([pixel, sampled_pixel])[order]
    # 4. Runs that hold a pixel.
    is_run = pixel[:, 1] > pixel[:, 0]
    column, pixel = column[is_run], pixel[is_run]
    positions = pixel + (columns.x * columns.height)[column, None]
    return Runs(positions[:, 0], positions[:, 1], columns.mask[column])


def _crossings(columns: Columns) -> tuple[Tensor, Tensor]:
    """Return flat indices into [C, M + 2] of cells where a column passes one half before the next cell.

    Also the columns that are too near to one half for float32 to decide.
    """
    values = columns.cells[columns.left]
    values = values + (columns.cells[columns.left + 1] - values) * columns.weight.float()[:, None]
    is_inside = values >= HALF - TIE
    is_tied = is_inside ^ (values > HALF + TIE)
    is_uncertain = is_tied.any(1)
    flat = (is_inside & ~is_uncertain[:, None]).flatten()
    return _indices(flat[1:] ^ flat[:-1]), _indices(is_uncertain)


def _crossing_pixels(columns: Columns, column: Tensor, cell: Tensor) -> Tensor:
    """Return the first pixel on the far side of each crossing, which lies after padded cell `cell` of its column."""
    # 1. The values of the cells before and after.
    cells = columns.cells.shape[1] - 2
    left, weight = columns.left[column], columns.weight[column]
    before = (1 - weight) * columns.cells[left, cell] + weight * columns.cells[left + 1, cell]
    after = (1 - weight) * columns.cells[left, cell + 1] + weight * columns.cells[left + 1, cell + 1]
    # 2. Where the line between them is one half.
    top, bottom = columns.top[column], columns.bottom[column]
    exact = top + (bottom - top) * ((HALF - before) / (after - before) + (cell - 0.5)) / cells - 0.5
    is_rising = after >= HALF
    pixel = exact.floor() + 1
    # 3. Pixels too near to it are sampled.
    nearest = exact.round()
    near = _indices((exact - nearest).abs() < CLOSE)
    is_inside = _sample(columns, column[near], nearest[near, None])[:, 0]
    pixel[near] = nearest[near] + (is_inside != is_rising[near])
    return pixel.long().clamp(min=0).minimum(columns.height[column])


def _sample_columns(columns: Columns, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return the column [n] and the pixels [n, 2] of the runs of columns `rows`, from every pixel."""
    pixels = torch.arange(int(columns.height[rows].max()), device=rows.device, dtype=torch.float64)[None]
    runs_of_parts = []
    for part in rows.split(max(1, SAMPLED // pixels.shape[1])):
        is_inside = _sample(columns, part, pixels) & (pixels < columns.height[part, None])
        edges = torch.nn.functional.pad(is_inside, (1, 1))
        column, pixel = (edges[:, 1:] ^ edges[:, :-1]).nonzero().unbind(1)
        runs_of_parts.append((part[column[::2]], pixel.view(-1, 2)))
    column, pixel = (torch.cat(parts) for parts in zip(*runs_of_parts, strict=True))
    return column, pixel


def _sample(columns: Columns, rows: Tensor, pixels: Tensor) -> Tensor:
    """Return [n, p] a mask of the pixels [n or 1, p] of columns `rows` [n] whose value is one half or more."""
    cells = columns.cells.shape[1] - 2
    cell = cell_coordinate(pixels, columns.top[rows, None], columns.bottom[rows, None], cells)
    above = cell.floor().clamp(-1, cells - 1)
    across, index = columns.weight[rows, None], above.long() + 1
    left = columns.left[rows]
    values = (1 - across) * columns.cells[left].double() + across * columns.cells[left + 1]
    down = cell - above
    value = (1 - down) * values.gather(1, index) + down * values.gather(1, index + 1)
    return (value >= HALF) & (cell > -1) & (cell < cells)


def _indices(flags: Tensor) -> Tensor:
    return flags.nonzero()[:, 0]
