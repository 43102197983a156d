"""COCO run-length encoding of many masks at once, from their windows only: no full canvas is ever built.

A COCO RLE walks the canvas column by column and counts zeros, ones, zeros, ... The counts (from the fourth on, minus
the count two before) are written as signed base-32 digits in printable characters; cocoapi's maskApi.c is the source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pycocotools.mask
from numpy.typing import NDArray

Ints = NDArray[np.int64]

DIGIT_BITS = 5  # of a base-32 digit
MORE = 32  # flag of a digit that another follows
FIRST_CHARACTER = 48  # that of the digit 0
MOST = 2**62  # pixels; a sum of run lengths beyond it fits no column


class Rles(NamedTuple):
    """The compressed counts of D masks, one after the other."""

    text: NDArray[np.uint8]  # [S] characters
    lengths: Ints  # [D] number of characters of each mask

    def counts(self) -> list[bytes]:
        """Return COCO's `counts`, one string per mask."""
        ends = np.cumsum(self.lengths)
        text = self.text.tobytes()
        return [text[end - length : end] for end, length in zip(ends.tolist(), self.lengths.tolist(), strict=True)]


class MaskWindows(NamedTuple):
    """D binary windows, column-major in one buffer. A zero guards the front and the foot of every column."""

    pixels: NDArray[np.bool_]
    offsets: Ints  # [D] where each window starts in the buffer, after the front guard
    corners: Ints  # [D, 2] (x, y) of each window in the canvas
    heights: Ints  # [D]


class Runs(NamedTuple):
    """R runs of ones between canvas positions (counted column by column), in that order within each mask."""

    starts: Ints  # [R]
    ends: Ints  # [R] exclusive
    mask: Ints  # [R] the mask that a run belongs to, rising


def encode(windows: MaskWindows, size: tuple[int, int]) -> Rles:
    """Return the RLE of every window on a canvas of `size` (height, width); equal to encoding the full canvases."""
    return encode_runs(_find_runs(windows, size[0]), np.full(len(windows.offsets), size[0] * size[1]))


def encode_runs(runs: Runs, areas: Ints) -> Rles:
    """Return the RLE of every mask from its runs; areas: [D] pixels of the canvas of each mask."""
    # 1. Runs that touch become one.
    runs = _join_runs(runs)
    # 2. Run lengths: zeros, ones, zeros, ...
    counts, per_mask = _run_lengths(runs, areas)
    # 3. Characters.
    return _compress(counts, per_mask)


def _find_runs(windows: MaskWindows, height: int) -> Runs:
    pixels = windows.pixels
    edges = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    mask = np.searchsorted(windows.offsets, edges[::2], side="right") - 1
    column, row = np.divmod(edges.reshape(-1, 2) - windows.offsets[mask, None], windows.heights[mask, None] + 1)
    x, y = windows.corners[mask].T
    positions = (x[:, None] + column) * height + y[:, None] + row
    return Runs(positions[:, 0], positions[:, 1], mask)


def _join_runs(runs: Runs) -> Runs:
    """Join runs that touch or overlap: a mask over the full height continues in the next column."""
    is_apart = np.ones(len(runs.starts) + 1, dtype=bool)
    is_apart[1:-1] = (runs.starts[1:] > runs.ends[:-1]) | (runs.mask[1:] != runs.mask[:-1])
    return Runs(runs.starts[is_apart[:-1]], runs.ends[is_apart[1:]], runs.mask[is_apart[:-1]])


def _run_lengths(runs: Runs, areas: Ints) -> tuple[Ints, Ints]:
    """Return the flat counts of all masks and how many belong to each."""
    # 1. Positions where a count ends: the start and end of each run, and the end of the canvas.
    runs_of_mask = np.bincount(runs.mask, minlength=len(areas))
    last = np.cumsum(2 * runs_of_mask + 1) - 1
    first = np.concatenate([[0], last[:-1] + 1])
    marks = np.zeros(last[-1] + 1, np.int64)
    marks[last] = areas
    is_written = np.ones(len(marks), dtype=bool)
    is_written[last] = False
    marks[is_written] = np.stack([runs.starts, runs.ends], axis=1).ravel()
    # 2. Their differences; the first of each mask counts from 0.
    counts = np.diff(marks, prepend=0)
    counts[first] = marks[first]
    # 3. A last count of 0 is not written.
    has_rest = counts[last] > 0
    is_written[last] = has_rest
    return counts[is_written], 2 * runs_of_mask + has_rest


def _compress(counts: Ints, per_mask: Ints) -> Rles:
    """Return the characters of the counts; from the fourth of a mask on, the difference to the count two before."""
    first = np.cumsum(per_mask) - per_mask
    numbers = counts.astype(np.int32)
    numbers[2:] -= counts[:-2].astype(np.int32)
    for early in range(3):  # the first three counts of every mask stay as they are
        index = first[per_mask > early] + early
        numbers[index] = counts[index]
    characters, used = _characters(numbers)
    return Rles(characters[characters > 0], np.add.reduceat(used, first))


def _characters(numbers: NDArray[np.int32]) -> tuple[NDArray[np.uint8], Ints]:
    """Return [n, up to 7] characters, low digits first, zero where unused; and how many each number needs."""
    columns, used = [], np.ones(len(numbers), dtype=np.int64)
    active: Ints | slice = slice(None)
    while len(numbers):
        # 1. The lowest digit of the numbers that are not finished.
        digit = numbers & (MORE - 1)
        numbers = numbers >> DIGIT_BITS
        # 2. It is the last if its fifth bit, the sign, says all about the rest.
        more = numbers != -(digit >> DIGIT_BITS - 1)
        columns.append(np.zeros(len(used), dtype=np.uint8))
        columns[-1][active] = digit + MORE * more + FIRST_CHARACTER
        # 3. The others continue.
        active, numbers = np.arange(len(used))[active][more], numbers[more]
        used[active] += 1
    return np.stack(columns, axis=1), used


def count_pixels(counts: Sequence[str | bytes | list[int]]) -> Ints:
    """Return [D] the sum of each mask's run lengths, compressed or not: its canvas, unless the mask is damaged."""
    # 1. Numbers: a digit below MORE is the last of its number.
    texts = [text.encode() if isinstance(text, str) else b"" if isinstance(text, list) else text for text in counts]
    digits = np.frombuffer(b"".join(texts), np.uint8) - FIRST_CHARACTER
    ends = np.flatnonzero(digits < MORE)
    starts = np.concatenate([[0], ends + 1])[: len(ends)]
    more = ends - starts
    numbers = (digits[starts] & 31).astype(np.int64)
    for place in range(1, int(more.max(initial=0)) + 1):
        rows = np.flatnonzero(more >= place)
        numbers[rows] += (digits[starts[rows] + place] & 31).astype(np.int64) << DIGIT_BITS * min(place, 11)
    numbers -= (digits[ends] >> 4).astype(np.int64) << DIGIT_BITS * np.minimum(more + 1, 11)  # the sign
    # 2. Each but the first is the difference to the count two before, so it adds to every second count that follows.
    mask = np.searchsorted(np.cumsum([len(text) for text in texts]), ends, side="right")
    numbers_until = np.cumsum(np.bincount(mask, minlength=len(texts)))
    following = numbers_until[mask] - np.arange(1, len(ends) + 1)  # numbers of the same mask
    is_first = np.append(-1, mask)[:-1] != mask
    weighted = np.where(is_first, numbers, numbers * (following // 2 + 1))
    sums = np.bincount(mask, weighted, len(texts)).astype(np.int64)
    # 3. Counts that are not compressed.
    totals = [sum(runs) if isinstance(runs, list) else 0 for runs in counts]
    return sums + np.array([total if abs(total) <= MOST else -1 for total in totals], np.int64)


def compress_counts(shape: Any, size: Sequence[int]) -> bytes:
    """Return the compressed `counts` of an RLE, of run lengths, or of polygons in an image of (height, width)."""
    if isinstance(shape, Mapping) and isinstance(shape["counts"], str | bytes):
        counts = shape["counts"]
        return counts.encode("ascii", "replace") if isinstance(counts, str) else counts
    rle = pycocotools.mask.frPyObjects(shape, *size)
    whole = pycocotools.mask.merge(rle) if isinstance(rle, list) else rle
    return bytes(whole["counts"])


def decode(rle: dict[str, Any]) -> NDArray[np.bool_]:
    """Return the mask [height, width] of a COCO RLE."""
    return np.asarray(pycocotools.mask.decode(rle), dtype=bool)


def encode_masks(masks: Sequence[NDArray[np.bool_]]) -> list[dict[str, Any]]:
    """Return the RLE of each full mask [height, width]."""
    return [dict(pycocotools.mask.encode(np.asfortranarray(mask, dtype=np.uint8))) for mask in masks]
