"""Polygons as numbers in one piece of memory: those of a mask, and those of many, which are tested and packed together.

A list of numbers takes four times the memory, and longer to read.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


class Polygons(NamedTuple):
    """The polygons of one mask."""

    coordinates: bytes  # float64, x and y in turn
    lengths: tuple[int, ...]  # coordinates of each polygon

    def split(self) -> list[Floats]:
        """Return the coordinates of each polygon."""
        coordinates = np.frombuffer(self.coordinates, np.float64)
        if len(self.lengths) == 1:
            return [coordinates]
        return [coordinates[start:end] for start, end in pairwise(accumulate(self.lengths, initial=0))]

    def to_lists(self) -> list[list[float]]:
        return [polygon.tolist() for polygon in self.split()]


class PolygonTable(NamedTuple):
    """m masks of p polygons altogether."""

    rows: Integers  # [m] positions of the masks in the sequence that they come from
    counts: Integers  # [m] polygons of each mask
    lengths: Integers  # [p] coordinates of each polygon
    coordinates: Floats  # [sum of lengths] x and y in turn

    @property
    def owners(self) -> Integers:
        """Return [p] the mask of each polygon, among the m of this table."""
        return np.repeat(np.arange(len(self.counts)), self.counts)


def flatten_polygons(segmentations: Sequence[Any]) -> PolygonTable:
    """Return the table of the segmentations that are polygons. Raises TypeError for lists of other things."""
    rows = [row for row, mask in enumerate(segmentations) if mask and type(mask) in (list, Polygons)]
    numbers, lengths, counts = array("d"), list[int](), list[int]()
    for mask in (segmentations[row] for row in rows):
        if type(mask) is Polygons:
            numbers.frombytes(mask.coordinates)
            own_lengths = mask.lengths
        else:
            _append(numbers, mask)
            own_lengths = tuple(map(len, mask))
        lengths += own_lengths
        counts.append(len(own_lengths))
    return PolygonTable(
        rows=np.array(rows, np.int64),
        counts=np.array(counts, np.int64),
        lengths=np.array(lengths, np.int64),
        coordinates=np.frombuffer(numbers, np.float64),
    )


def join_polygons(polygons: Sequence[list[float]]) -> Polygons:
    numbers = array("d")
    _append(numbers, polygons)
    return Polygons(numbers.tobytes(), tuple(map(len, polygons)))


def to_floats(lists: Iterable[list[Any]]) -> Floats:
    """Return the numbers of lists in one array. Raises TypeError for a text, which numpy would read as a number."""
    numbers = array("d")
    _append(numbers, lists)
    return np.frombuffer(numbers, np.float64)


def _append(numbers: array[float], lists: Iterable[list[Any]]) -> None:
    for values in lists:
        numbers.fromlist(values)
