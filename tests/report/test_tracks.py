"""Tracks: an object keeps its number while it moves, crosses another or is missed for some frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lineage.data.samples.metadata import DatasetMeta
from lineage.report.draw import object_colour
from lineage.report.pictures import mark_predictions
from lineage.report.tracks import IoUTracker, overlaps


def record(x: float, y: float = 0.0, category: int = 1, side: float = 10.0) -> dict[str, Any]:
    return {"bbox": [x, y, side, side], "category_id": category, "score": 0.9}


def test_overlap_is_intersection_over_union() -> None:
    assert overlaps([[0, 0, 10, 10]], [[0, 0, 10, 10], [5, 0, 10, 10], [20, 0, 5, 5], [10, 0, 10, 10]])[0] == (
        pytest.approx([1, 50 / 150, 0, 0])
    )
    assert overlaps([], [[0, 0, 1, 1]]).shape == (0, 1)
    assert np.isfinite(overlaps([[0, 0, 0, 0]], [[0, 0, 0, 0]])).all()


def test_an_object_keeps_its_number_in_whatever_order_it_is_detected() -> None:
    tracker = IoUTracker()
    assert tracker.update([record(0), record(50)]) == [1, 2]
    assert tracker.update([record(53), record(3)]) == [2, 1]
    assert tracker.update([record(6), record(56), record(90)]) == [1, 2, 3]
    assert tracker.update([]) == []
    assert tracker.update([record(9)]) == [1]


def test_the_best_pair_is_taken_first_and_classes_do_not_mix() -> None:
    tracker = IoUTracker()
    assert tracker.update([record(0), record(4)]) == [1, 2]
    assert tracker.update([record(4), record(2)]) == [2, 1], "the second detection overlaps both tracks"
    assert tracker.update([record(4, category=2)]) == [3]


def test_a_track_waits_and_then_ends() -> None:
    tracker = IoUTracker(patience=2)
    assert tracker.update([record(0)]) == [1]
    tracker.update([])
    tracker.update([])
    assert tracker.update([record(0)]) == [1]
    for _ in range(3):
        tracker.update([])
    assert tracker.update([record(0)]) == [2]


def test_pictures_colour_by_track() -> None:
    meta = DatasetMeta(("cat", "dog"), (1, 2))
    first, second = mark_predictions([record(0) | {"track_id": 5}, record(20)], meta)
    assert (first.colour, first.text) == (object_colour(5), "cat 5 0.90")
    assert (second.colour, second.text) == (object_colour(0), "cat 0.90")
