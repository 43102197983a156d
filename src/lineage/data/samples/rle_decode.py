"""COCO's run lengths, drawn as the tight windows of their masks: all masks of an image at once.

pycocotools decodes a mask only into a whole canvas, most of which is zeros. Here nothing outside of a window is drawn,
and as an image has some ten small masks, each step is done for all of them together: their canvases stand side by side
in one long one.
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


def runs(encoded: Sequence[dict[str, Any]], size: tuple[int, int]) -> tuple[Numbers, Numbers]:
    """Run lengths, column-major, zeros first, one mask after the other, and where each mask's begin [n + 1].

    An error if the runs of a mask do not fill exactly this canvas.
    """
    for one in encoded:
        if tuple(one["size"]) != size:
            raise ValueError(f"an RLE of size {tuple(one['size'])} does not belong on a canvas of {size}")
    values, first = _unpacked([one["counts"] for one in encoded])
    covered = np.diff(np.append(0, values.cumsum())[first])
    for wrong in covered[covered != size[0] * size[1]]:
        raise ValueError(f"an RLE covers {wrong} pixels of a canvas of {size[0] * size[1]}")
    if (values < 0).any():
        raise ValueError(f"a run of {values.min()} pixels in an RLE of a canvas of {size[0] * size[1]}")
    return values, first


def _unpacked(counts: Sequence[Counts]) -> tuple[Numbers, Numbers]:
    if any(isinstance(one, list) for one in counts):
        rows = [np.array(one, np.int64) if isinstance(one, list) else _unpacked([one])[0] for one in counts]
        return np.concatenate(rows), _ends([len(row) for row in rows])
    return _decompressed([one.encode() if isinstance(one, str) else one for one in counts if not isinstance(one, list)])


def _decompressed(texts: Sequence[bytes]) -> tuple[Numbers, Numbers]:
    """5 bits a character, bit 5 continues, and from the fourth number of a text on differences to the last but one."""
    characters = np.frombuffer(b"".join(texts), np.uint8).astype(np.int64) - 48
    final = (characters & 32) == 0
    ends = np.flatnonzero(final)
    first = np.append(0, final.cumsum())[_ends([len(text) for text in texts])]
    if not len(ends):
        return np.zeros(0, np.int64), first
    starts = np.append(0, ends[:-1] + 1)
    place = np.arange(ends[-1] + 1) - np.repeat(starts, ends - starts + 1)
    values = np.add.reduceat((characters[: ends[-1] + 1] & 31) << (5 * place), starts)
    values -= np.where(characters[ends] & 16, 1 << (5 * (place[ends] + 1)), 0)
    for start, end in pairwise(first.tolist()):
        values[start + 1 : end : 2] = values[start + 1 : end : 2].cumsum()
        values[start + 2 : end : 2] = values[start + 2 : end : 2].cumsum()
    return values, first


def _ends(lengths: Sequence[int]) -> Numbers:
    return np.cumsum([0, *lengths])


def drawn(values: Numbers, first: Numbers, size: tuple[int, int]) -> tuple[NDArray[np.uint8], Numbers]:
    """The windows' pixels one after the other, each row-major, and the windows [n, 4] (x, y, width, height)."""
    edges = values.cumsum()
    ones = [np.arange(start + 1, end, 2) for start, end in pairwise(first.tolist())]
    owner, at = np.repeat(np.arange(len(ones)), np.diff(first) // 2), np.concatenate([first[:0], *ones])
    starts, ends = edges[at - 1], edges[at]
    owner, starts, ends = (each[starts < ends] for each in (owner, starts, ends))
    windows = _tight(owner, starts, ends, len(ones), size)
    x, y, wide, tall = windows.T
    areas = wide * tall
    offsets = areas.cumsum() - areas
    corner = offsets - (x + np.arange(len(ones)) * size[1]) * tall - y  # where the canvas's first pixel would be
    begin = corner[owner] + starts // size[0] * tall[owner] + starts % size[0]
    steps = torch.zeros(int(areas.sum()) + 1, dtype=torch.int8)
    change = steps.numpy()
    change[begin] = 1
    change[begin + ends - starts] -= 1  # a run may begin where the one before it ended
    columns = steps[:-1].cumsum(0, dtype=torch.int8).view(torch.uint8).numpy()  # four times faster than NumPy's
    pixels = np.empty_like(columns)
    for start, area, w, h in zip(offsets.tolist(), areas.tolist(), wide.tolist(), tall.tolist(), strict=True):
        if area:
            cv2.transpose(columns[start : start + area].reshape(w, h), pixels[start : start + area].reshape(h, w))
    return pixels, windows


def _tight(owner: Numbers, starts: Numbers, ends: Numbers, count: int, size: tuple[int, int]) -> Numbers:
    """The window around the ones of each mask, all zero where there are none. Masks stand side by side."""
    windows, (height, width) = np.zeros((count, 4), np.int64), size
    if not len(owner):
        return windows
    left, right = starts // height, (ends - 1) // height
    group = np.flatnonzero(np.diff(owner, prepend=-1))
    wraps = np.logical_or.reduceat(left != right, group)  # a run over a column's end fills the window's height
    top = np.where(wraps, 0, np.minimum.reduceat(starts % height, group))
    below = np.where(wraps, height, np.maximum.reduceat((ends - 1) % height + 1, group))
    x, last = left[group], right[np.append(group[1:], len(owner)) - 1]
    windows[owner[group]] = np.stack([x - owner[group] * width, top, last - x + 1, below - top], 1)
    return windows
