"""Our own matching and precision curve against pycocotools, with the overlaps of boxes and of masks."""

from __future__ import annotations

import hotcoco
import numpy as np
import pytest

from lineage.eval.metrics.matching import match_greedily, summarize
from lineage.eval.metrics.own_matching import match
from tests.eval.ties import case, official, only

ALL = np.array([[False, False]])
NO_CROWD = np.array([False, False])


@pytest.mark.parametrize("block", range(10))
@pytest.mark.parametrize(("task", "field", "kind"), [("box", "bbox", "bbox"), ("mask", "segmentation", "segm")])
def test_equal_to_pycocotools(task: str, field: str, kind: str, block: int) -> None:
    for seed in range(10 * block, 10 * block + 10):
        truth, found = case(seed)
        if not truth["annotations"] or not found:
            continue
        records = only(found, field)
        loaded = hotcoco.COCO(truth)
        values, _ = summarize(match(loaded, loaded.load_res(records), task, 100), (1, 10, 100))
        expected = official(truth, records, kind)
        np.testing.assert_allclose(np.array([*values.values()]) / 100, expected, rtol=0, atol=1e-12, equal_nan=True)


def test_a_class_scores_as_it_would_alone() -> None:
    truth, found = case(3)
    loaded = hotcoco.COCO(truth)
    _, each = summarize(match(loaded, loaded.load_res(only(found, "bbox")), "box", 100), (1, 10, 100))
    for category, pair in zip(truth["categories"], each, strict=True):
        notes = [note for note in truth["annotations"] if note["category_id"] == category["id"]]
        records = [one for one in only(found, "bbox") if one["category_id"] == category["id"]]
        if notes and records:
            expected = official(truth | {"annotations": notes}, records, "bbox")[:2]
            np.testing.assert_allclose(np.array(pair) / 100, expected, rtol=0, atol=1e-12, equal_nan=True)


def test_the_last_of_equal_overlaps_is_taken() -> None:
    matches = match_greedily(np.array([[0.8, 0.8], [0.8, 0.8], [0.8, 0.8]]), ALL, NO_CROWD)
    assert matches[0, 0].tolist() == [1, 0, -1]


def test_an_ignored_object_is_taken_only_if_no_other_is_free() -> None:
    ignore = np.array([[False, True]])
    matches = match_greedily(np.array([[0.6, 0.9], [0.6, 0.9]]), ignore, NO_CROWD)
    assert matches[0, 0].tolist() == [0, 1]
    assert matches[0, 4].tolist() == [1, -1], "at IoU 0.7 only the ignored one is near"


def test_a_crowd_takes_any_number() -> None:
    matches = match_greedily(np.full((4, 1), 0.9), np.array([[True]]), np.array([True]))
    assert matches[0, 0].tolist() == [0, 0, 0, 0]


def test_an_overlap_on_the_threshold_is_enough() -> None:
    matches = match_greedily(np.array([[0.5], [1.0]]), np.array([[False]]), np.array([False]))
    assert matches[0, 0].tolist() == [0, -1]
    assert matches[0, 1:].max(initial=-1) == 0
    assert (matches[0, 1:, 1] == 0).all()
