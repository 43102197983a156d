"""The polygons of many masks as flat arrays, which are tested and packed together."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


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
    """Return the table of the segmentations that are lists of polygons. Raises TypeError for other lists."""
    rows = [row for row, mask in enumerate(segmentations) if mask and type(mask) is list]
    masks = [segmentations[row] for row in rows]
    polygons = [*chain.from_iterable(masks)]
    return PolygonTable(
        rows=np.array(rows, np.int64),
        counts=np.array([*map(len, masks)], np.int64),
        lengths=np.array([*map(len, polygons)], np.int64),
        coordinates=to_floats(polygons),
    )


def to_floats(lists: Iterable[list[Any]]) -> Floats:
    """Return the numbers of lists in one array. Raises TypeError for a text, which numpy would read as a number."""
    numbers = array("d")
    for values in lists:
        numbers.fromlist(values)
    return np.frombuffer(numbers, np.float64)
