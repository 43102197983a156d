"""Decoding of COCO's run lengths into the tight windows of their masks: all masks of an image at once.

pycocotools decodes a mask only into a whole canvas, most of which is zeros. Here nothing outside of a window is
rasterised, and as an image has some ten small masks, each step is done for all of them together: their canvases stand
side by side in one long one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
Counts = bytes | str | list[int]  # compressed or not


def decode_counts(encoded: Sequence[dict[str, Any]], size: tuple[int, int]) -> tuple[Numbers, Numbers]:
    """Return the run lengths of n masks, column-major, zeros first, and the offset [n + 1] of each mask's runs.

    Raise ValueError if the runs of a mask do not fill exactly this canvas.
    """
    for mask in encoded:
        if tuple(mask["size"]) != size:
            raise ValueError(f"an RLE of size {tuple(mask['size'])} does not belong on a canvas of {size}")
    lengths, offsets = _parse([mask["counts"] for mask in encoded])
    covered = np.diff(np.append(0, lengths.cumsum())[offsets])
    for pixels in covered[covered != size[0] * size[1]]:
        raise ValueError(f"an RLE covers {pixels} pixels of a canvas of {size[0] * size[1]}")
    if (lengths < 0).any():
        raise ValueError(f"a run of {lengths.min()} pixels in an RLE of a canvas of {size[0] * size[1]}")
    return lengths, offsets


def _parse(counts: Sequence[Counts]) -> tuple[Numbers, Numbers]:
    if any(isinstance(mask, list) for mask in counts):
        rows = [np.array(mask, np.int64) if isinstance(mask, list) else _parse([mask])[0] for mask in counts]
        return np.concatenate(rows), _offsets([len(row) for row in rows])
    texts = [mask for mask in counts if not isinstance(mask, list)]
    return _decompress([mask.encode() if isinstance(mask, str) else mask for mask in texts])


def _decompress(texts: Sequence[bytes]) -> tuple[Numbers, Numbers]:
    """Decode COCO's strings: 5 bits a character, bit 5 continues, the last character has the sign in bit 4.

    From the fourth number of a text on, numbers are differences to the last but one.
    """
    # 1. Split the characters into numbers, each from `starts` to its final character at `ends`.
    characters = np.frombuffer(b"".join(texts), np.uint8).astype(np.int64) - 48
    is_final = (characters & 32) == 0
    ends = np.flatnonzero(is_final)
    offsets = np.append(0, is_final.cumsum())[_offsets([len(text) for text in texts])]
    if not len(ends):
        return np.zeros(0, np.int64), offsets
    starts = np.append(0, ends[:-1] + 1)
    # 2. Sum the 5 bits of each character, the lowest first, and subtract two to the power of the bits if negative.
    digit = np.arange(ends[-1] + 1) - np.repeat(starts, ends - starts + 1)
    numbers = np.add.reduceat((characters[: ends[-1] + 1] & 31) << (5 * digit), starts)
    numbers -= np.where(characters[ends] & 16, 1 << (5 * (digit[ends] + 1)), 0)
    # 3. Undo the differences: runs of ones from the second, runs of zeros from the third.
    for start, end in pairwise(offsets.tolist()):
        numbers[start + 1 : end : 2] = numbers[start + 1 : end : 2].cumsum()
        numbers[start + 2 : end : 2] = numbers[start + 2 : end : 2].cumsum()
    return numbers, offsets


def _offsets(lengths: Sequence[int]) -> Numbers:
    return np.cumsum([0, *lengths])


def rasterize(lengths: Numbers, offsets: Numbers, size: tuple[int, int]) -> tuple[NDArray[np.uint8], Numbers]:
    """Return the pixels of n windows one after the other, each row-major, and the windows [n, 4] (x, y, width, height).

    lengths, offsets: see `decode_counts`
    size: (height, width) of the canvas
    """
    # 1. Runs of ones: the mask each belongs to, and its first and last + 1 pixel on the canvases side by side.
    edges = lengths.cumsum()
    ones = [np.arange(start + 1, end, 2) for start, end in pairwise(offsets.tolist())]
    owner = np.repeat(np.arange(len(ones)), np.diff(offsets) // 2)
    run = np.concatenate([offsets[:0], *ones])
    starts, ends = edges[run - 1], edges[run]
    is_filled = starts < ends
    owner, starts, ends = owner[is_filled], starts[is_filled], ends[is_filled]
    # 2. The tight window of each mask, and the offset of its pixels in the result, here column-major.
    windows = _find_windows(owner, starts, ends, len(ones), size)
    x, y, widths, heights = windows.T
    areas = widths * heights
    window_offsets = areas.cumsum() - areas
    # 3. Where each run begins in the result; `origin` is where the first pixel of the mask's canvas would be.
    origin = window_offsets - (x + np.arange(len(ones)) * size[1]) * heights - y
    begin = origin[owner] + starts // size[0] * heights[owner] + starts % size[0]
    # 4. Mark +1 at the begin of a run and -1 at its end; the cumulative sum fills the runs.
    steps = torch.zeros(int(areas.sum()) + 1, dtype=torch.int8)
    change = steps.numpy()
    change[begin] = 1
    change[begin + ends - starts] -= 1  # a run may begin where the one before it ended
    columns = steps[:-1].cumsum(0, dtype=torch.int8).view(torch.uint8).numpy()  # four times faster than NumPy's
    # 5. Transpose each window to row-major.
    pixels = np.empty_like(columns)
    for start, area, w, h in zip(
        window_offsets.tolist(), areas.tolist(), widths.tolist(), heights.tolist(), strict=True
    ):
        if area:
            cv2.transpose(columns[start : start + area].reshape(w, h), pixels[start : start + area].reshape(h, w))
    return pixels, windows


def _find_windows(owner: Numbers, starts: Numbers, ends: Numbers, count: int, size: tuple[int, int]) -> Numbers:
    """Return the window around the ones of each mask, all zero if it has none. Canvases stand side by side."""
    windows, (height, width) = np.zeros((count, 4), np.int64), size
    if not len(owner):
        return windows
    left, right = starts // height, (ends - 1) // height
    group = np.flatnonzero(np.diff(owner, prepend=-1))  # the first run of each mask
    wraps = np.logical_or.reduceat(left != right, group)  # a run over a column's end fills the window's height
    top = np.where(wraps, 0, np.minimum.reduceat(starts % height, group))
    below = np.where(wraps, height, np.maximum.reduceat((ends - 1) % height + 1, group))
    x, last = left[group], right[np.append(group[1:], len(owner)) - 1]
    windows[owner[group]] = np.stack([x - owner[group] * width, top, last - x + 1, below - top], 1)
    return windows
