"""Labels of a teacher: how many are taken, and what stands in them; all numbers counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from lineage.eval.predictions.predictions import NO_PREDICTIONS, Predictions
from lineage.eval.pseudo_labels import (
    LabelDensity,
    NothingFound,
    label_density,
    select_labels,
    threshold,
    to_annotations,
)


def found(scores: list[list[float]], points: list[list[float]] | None = None) -> Predictions:
    """Images 7, 8, ... with a box of 10 x 4 for each score; `points`: the scores of the keypoints of each box."""
    flat = np.array([score for image in scores for score in image])
    places = np.zeros((0, 0, 3))
    if points is not None:
        places = np.array([[[2, 3, score] for score in one] for one in points])
    return NO_PREDICTIONS._replace(
        images=np.arange(len(scores)) + 7,
        sizes=np.full((len(scores), 2), 50),
        image_index=np.repeat(np.arange(len(scores)), [len(image) for image in scores]),
        boxes=np.tile(np.array([1.0, 2, 10, 4]), (len(flat), 1)),
        scores=flat,
        labels=np.zeros(len(flat), np.int64),
        keypoints=places,
    )


def test_density_counts_what_annotators_select_labels() -> None:
    truth = {
        "images": [{"id": 1}, {"id": 2}],
        "annotations": [
            {"keypoints": [1, 1, 2, 1, 1, 1, 0, 0, 0]},
            {"keypoints": [1, 1, 2, 0, 0, 0, 0, 0, 0], "iscrowd": 0},
            {"iscrowd": 0},
            {"keypoints": [1, 1, 2, 1, 1, 2, 1, 1, 2], "iscrowd": 1},
        ],
    }
    assert label_density(truth) == LabelDensity(objects_per_image=3 / 2, keypoints_per_object=3 / 3)
    assert label_density({"images": [{"id": 1}], "annotations": []}) == LabelDensity(0, 0)


@pytest.mark.parametrize(
    ("scores", "count", "expected"),
    [
        ([0.9, 0.2, 0.5, 0.7], 3, 0.5),  # 0.9, 0.7 and 0.5 reach it
        ([0.9, 0.2, 0.5, 0.7], 1, 0.9),
        ([0.9, 0.2], 5, 0.2),  # there are no more
        ([0.9, 0.2], 0, 0.9),  # one label at least
        ([0.5, 0.5, 0.1], 1, 0.5),  # whoever has the same score is taken too
    ],
)
def test_a_threshold_that_so_many_scores_reach(scores: list[float], count: int, expected: float) -> None:
    assert threshold(np.array(scores), count) == expected


def test_an_image_gets_as_many_objects_as_annotators_gave_one() -> None:
    chosen, told = select_labels(
        found([[0.9, 0.3], [0.8, 0.6, 0.1], []]), LabelDensity(1, 0)
    )  # three images, three objects
    assert told == {"score": pytest.approx(0.6)}
    assert chosen.scores.tolist() == pytest.approx([0.9, 0.8, 0.6])
    assert chosen.image_index.tolist() == [0, 1, 1]


def test_an_object_gets_as_many_keypoints_as_annotators_gave_one() -> None:
    points = [[0.9, 0.1, 0.2], [0.95, 0.95, 0.95], [0.8, 0.7, 0.3]]
    chosen, told = select_labels(
        found([[0.9, 0.2], [0.8]], points), LabelDensity(1, 1.5)
    )  # the second box is not taken
    assert told["keypoint_score"] == pytest.approx(0.7)
    assert chosen.keypoints.tolist() == [[[2, 3, 2], [0, 0, 0], [0, 0, 0]], [[2, 3, 2], [2, 3, 2], [0, 0, 0]]]


def test_a_box_without_area_is_no_label() -> None:
    flat = found([[0.9, 0.8]])
    flat.boxes[0, 2] = 0
    assert select_labels(flat, LabelDensity(1, 0))[0].scores.tolist() == pytest.approx([0.8])


def test_a_teacher_that_finds_nothing_is_refused() -> None:
    with pytest.raises(NothingFound, match=r"finds nothing in the 2 images .* Train it for longer"):
        select_labels(found([[], []]), LabelDensity(3, 0))


def test_labels_are_annotations_of_coco() -> None:
    chosen, _ = select_labels(found([[], [0.9]], [[0.5, 0.4]]), LabelDensity(0.5, 1))
    (one,) = to_annotations(chosen, [5])
    assert one.pop("score") == pytest.approx(0.9)
    assert one == {
        "id": 1, "image_id": 8, "category_id": 5, "bbox": [1, 2, 10, 4], "area": 40, "iscrowd": 0,
        "keypoints": [2, 3, 2, 0, 0, 0], "num_keypoints": 1,
    }  # fmt: skip
