"""COCO run-length encoding of many masks at once, from their windows only: no full canvas is ever built.

A COCO RLE walks the canvas column by column and counts zeros, ones, zeros, ... The counts (from the fourth on, minus
the count two before) are written as signed base-32 digits in printable characters; cocoapi's maskApi.c is the source.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pycocotools.mask
from numpy.typing import NDArray

Ints = NDArray[np.int64]


class Rles(NamedTuple):
    """The compressed counts of D masks, one after the other."""

    text: NDArray[np.uint8]  # [S] characters
    lengths: Ints  # [D] how many characters belong to each mask

    def counts(self) -> list[bytes]:
        """What COCO calls `counts`, one string per mask."""
        ends = np.cumsum(self.lengths)
        text = self.text.tobytes()
        return [text[end - length : end] for end, length in zip(ends.tolist(), self.lengths.tolist(), strict=True)]


class Columns(NamedTuple):
    """D binary windows, column-major in one buffer. A zero guards the front and the foot of every column."""

    pixels: NDArray[np.bool_]
    offsets: Ints  # [D] where each window starts in the buffer, after the front guard
    corners: Ints  # [D, 2] (x, y) of each window in the canvas
    heights: Ints  # [D]


def encode(windows: Columns, size: tuple[int, int]) -> Rles:
    """The RLE of every window on a canvas of `size` (height, width); equal to encoding the full canvases."""
    return from_runs(*_runs(windows, size[0]), len(windows.offsets), size)


def from_runs(starts: Ints, ends: Ints, mask: Ints, masks: int, size: tuple[int, int]) -> Rles:
    """Of runs of ones between canvas positions, in the order of the canvas; `mask` [n] is what each belongs to."""
    counts, per_mask = _counts(*_joined(starts, ends, mask), masks, size[0] * size[1])
    return _compress(counts, per_mask)


def _runs(windows: Columns, height: int) -> tuple[Ints, Ints, Ints]:
    """Canvas positions where each run of ones starts and ends, and the mask it belongs to."""
    pixels = windows.pixels
    edges = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    mask = np.searchsorted(windows.offsets, edges[::2], side="right") - 1
    column, row = np.divmod(edges.reshape(-1, 2) - windows.offsets[mask, None], windows.heights[mask, None] + 1)
    x, y = windows.corners[mask].T
    spots = (x[:, None] + column) * height + y[:, None] + row
    return spots[:, 0], spots[:, 1], mask


def _joined(starts: Ints, ends: Ints, mask: Ints) -> tuple[Ints, Ints, Ints]:
    """Runs that touch or overlap become one: a mask over the full height goes on in the next column."""
    apart = np.ones(len(starts) + 1, dtype=bool)
    apart[1:-1] = (starts[1:] > ends[:-1]) | (mask[1:] != mask[:-1])
    return starts[apart[:-1]], ends[apart[1:]], mask[apart[:-1]]


def _counts(starts: Ints, ends: Ints, mask: Ints, masks: int, total: int) -> tuple[Ints, Ints]:
    """The flat counts of all masks and how many belong to each."""
    runs = np.bincount(mask, minlength=masks)
    last = np.cumsum(2 * runs + 1) - 1
    first = np.concatenate([[0], last[:-1] + 1])
    marks = np.full(last[-1] + 1, total)
    inner = np.ones(len(marks), dtype=bool)
    inner[last] = False
    marks[inner] = np.stack([starts, ends], axis=1).ravel()
    counts = np.diff(marks, prepend=0)
    counts[first] = marks[first]
    written = counts[last] > 0
    inner[last] = written
    return counts[inner], 2 * runs + written


def _compress(counts: Ints, per_mask: Ints) -> Rles:
    first = np.cumsum(per_mask) - per_mask
    rest = counts.astype(np.int32)
    rest[2:] -= counts[:-2].astype(np.int32)
    for early in range(3):  # the first three counts of every mask stay as they are
        spot = first[per_mask > early] + early
        rest[spot] = counts[spot]
    characters, used = _characters(rest)
    return Rles(characters[characters > 0], np.add.reduceat(used, first))


def _characters(numbers: NDArray[np.int32]) -> tuple[NDArray[np.uint8], Ints]:
    """[n, up to 7] characters, low digits first, zero when unused; and how many each number needs."""
    columns, used = [], np.ones(len(numbers), dtype=np.int64)
    active: Ints | slice = slice(None)
    while len(numbers):
        digit = numbers & 31
        numbers = numbers >> 5
        more = numbers != -(digit >> 4)  # the sign is the last digit's fifth bit
        columns.append(np.zeros(len(used), dtype=np.uint8))
        columns[-1][active] = digit + 32 * more + 48
        active, numbers = np.arange(len(used))[active][more], numbers[more]
        used[active] += 1
    return np.stack(columns, axis=1), used


def pixels(counts: Sequence[str | bytes | list[int]]) -> Ints:
    """[D] how many pixels each mask's runs cover together, compressed or not; its canvas, unless it is damaged."""
    texts = [one.encode() if isinstance(one, str) else b"" if isinstance(one, list) else one for one in counts]
    digits = np.frombuffer(b"".join(texts), np.uint8) - 48
    ends = np.flatnonzero(digits < 32)  # of numbers; the other digits are followed by one
    starts = np.concatenate([[0], ends + 1])[: len(ends)]
    long = ends - starts
    numbers = (digits[starts] & 31).astype(np.int64)
    for more in range(1, int(long.max(initial=0)) + 1):
        rows = np.flatnonzero(long >= more)
        numbers[rows] += (digits[starts[rows] + more] & 31).astype(np.int64) << 5 * min(more, 11)
    numbers -= (digits[ends] >> 4).astype(np.int64) << 5 * np.minimum(long + 1, 11)  # the sign
    mask = np.searchsorted(np.cumsum([len(one) for one in texts]), ends, side="right")
    behind = np.cumsum(np.bincount(mask, minlength=len(texts)))
    later = behind[mask] - np.arange(1, len(ends) + 1)  # numbers of the same mask that follow
    first = np.append(-1, mask)[:-1] != mask
    # a number is told less the one two before, so it counts again in every second one that follows
    found = np.bincount(mask, np.where(first, numbers, numbers * (later // 2 + 1)), len(texts)).astype(np.int64)
    return found + np.array([sum(one) if isinstance(one, list) else 0 for one in counts], np.int64)


def decode(mask: dict[str, Any]) -> NDArray[np.bool_]:
    """[height, width] of one COCO RLE."""
    return np.asarray(pycocotools.mask.decode(mask), dtype=bool)


def encode_masks(masks: Sequence[NDArray[np.bool_]]) -> list[dict[str, Any]]:
    """The RLE of each full mask [height, width]."""
    return [dict(pycocotools.mask.encode(np.asfortranarray(mask, dtype=np.uint8))) for mask in masks]
