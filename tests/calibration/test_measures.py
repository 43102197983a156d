"""Calibration measures against closed forms and cases by hand."""

from __future__ import annotations

import numpy as np
import pytest

from lineage.calibration.calibration_error import assign_equal_population, assign_equal_width
from lineage.calibration.classifier_measures import measure_classifier
from lineage.calibration.detector_measures import Outcomes, measure_label_aware_distance, measure_label_aware_error
from lineage.calibration.object_error import Cover, measure_objects
from lineage.calibration.split import CalibrationError, identify_images, split_halves


def test_ece_of_perfect_calibration_falls_with_the_root_of_the_samples() -> None:
    """A bin of n samples is off by sqrt(2 p (1 - p) / (pi n)); their weighted sum falls as 1 / sqrt(N)."""
    errors = []
    for number in (2_000, 200_000):
        chance = np.random.default_rng(0)
        top = chance.uniform(0.5, 1, number)
        labels = (chance.uniform(size=number) > top).astype(np.int64)
        errors.append(measure_classifier(np.stack([top, 1 - top], axis=1), labels)["ECE"])
    assert errors[1] < 0.004 < errors[0]
    assert errors[0] / errors[1] == pytest.approx(10, rel=0.6)


def test_classifier_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    labels = np.array([0, 1, 0, 1])
    measures = measure_classifier(probabilities, labels, num_bins=10)
    # the bin of .9: accuracy .5; of .6: 1; of .8: 1
    assert measures["ECE"] == pytest.approx((2 * 0.4 + 0.4 + 0.2) / 4)
    assert measures["MCE"] == pytest.approx(0.4)
    assert measures["Brier"] == pytest.approx(2 * (0.01 + 0.81 + 0.16 + 0.04) / 4)
    assert measures["NLL"] == pytest.approx(-np.log([0.9, 0.1, 0.6, 0.8]).mean())
    # of both classes: bins {.9, .9}, {.6}, {.2} against 1/2, 1, 0, and their complements
    assert measures["classwise_ECE"] == pytest.approx((2 * 0.4 + 0.4 + 0.2) / 4)


def test_bins() -> None:
    confidence = np.array([0.0, 0.1, 0.35, 0.999, 1.0])
    assert assign_equal_width(confidence, 10).tolist() == [0, 1, 3, 9, 9]
    assert assign_equal_population(np.array([0.3, 0.1, 0.2, 0.4]), 2).tolist() == [1, 0, 0, 1]


def test_label_aware_error_of_four_detections() -> None:
    """Class 0: scores .9 and .9, IoU .8 and 0. Class 2: .5 with IoU .6, .1 with 0. Class 1 has no detection."""
    outcomes = Outcomes(
        np.array([0.9, 0.9, 0.5, 0.1]), np.array([0.8, 0.0, 0.6, 0.0]), np.array([0, 0, 2, 2]), np.ones(4)
    )
    first, second = abs(0.9 - 0.4), (abs(0.5 - 0.6) + 0.1) / 2
    assert measure_label_aware_error(outcomes) == pytest.approx((first + second) / 2)
    assert measure_label_aware_distance(outcomes) == pytest.approx(((0.1 + 0.9) / 2 + (0.1 + 0.1) / 2) / 2)


def test_object_error_by_hand() -> None:
    """One object of class 0, below a detection of it (.8, IoU .9) and one of class 1 (.6, IoU .6); one is missed."""
    cover = Cover(np.array([0, 0]), np.array([0, 1]), np.array([0.9, 0.6]), np.array([0, 1]), np.array([0, 0]))
    scores, labels = np.array([0.8, 0.6]), np.array([0, 1])
    loose = ((1 - 0.4) ** 2 + 0.3**2 + 1) / 2
    strict = ((1 - 0.8) ** 2 + 1) / 2
    assert measure_objects(cover, scores, labels, np.ones(1)) == pytest.approx((loose + strict) / 2)
    assert measure_objects(cover, np.full(2, -1.0), labels, np.ones(1)) == 1


def test_halves_are_disjoint_and_equal_in_every_process() -> None:
    split = split_halves(range(101), seed=3)
    assert not {*split.fit} & {*split.test}
    assert (len(split.fit), len(split.test)) == (51, 50)
    assert split == split_halves(reversed(range(101)), seed=3) != split_halves(range(101), seed=4)
    assert split.fit[:4] == (1, 2, 4, 5)  # pinned: a hash of the ids
    with pytest.raises(CalibrationError, match="--fit FILE"):
        split_halves([7], seed=0)


def test_an_id_of_two_datasets_is_two_images() -> None:
    names = identify_images([{"id": 1, "file_name": "a/1.jpg"}, {"id": 1, "file_name": "1.jpg"}, {"id": 1}])
    assert names[0] == names[1] != names[2]
