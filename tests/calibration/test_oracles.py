"""Calibration measures and maps beside netcal 1.4.0 and uq-detr 0.1.1 themselves.

Neither is installed by `make setup`; two of their numbers are recorded in test_real_detections.py. To run these tests:
`pip install --no-deps netcal uq-detr` into an environment of this project, or into a folder on PYTHONPATH.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from lineage.calibration.calibration_error import (
    assign_equal_width,
    compute_expected_error,
    compute_maximum_error,
    fill_bins,
)
from lineage.calibration.classifier_measures import measure_classifier
from lineage.calibration.detector_measures import Outcomes, take_outcomes
from lineage.calibration.fit import DetectedImages, detect_images
from lineage.calibration.isotonic import fit_isotonic
from lineage.calibration.logit import logit
from lineage.calibration.object_error import measure_objects
from lineage.calibration.overlaps import HALF, LOOSE, match
from lineage.calibration.platt import fit_platt
from lineage.calibration.temperature import fit_temperature
from tests.calibration.test_softmax_rows import draw_rows

Floats = NDArray[np.float64]


@pytest.fixture(scope="module")
def document(real_data: Path) -> dict[str, Any]:
    """Annotations of COCO without crowds, of which neither library has a notion."""
    path = real_data / "coco_mini" / "annotations" / "instances_val2017.json"
    if not path.is_file():
        pytest.skip(f"no {path}")
    document = json.loads(path.read_text())
    objects = [annotation for annotation in document["annotations"] if not annotation["iscrowd"]]
    return {**document, "annotations": objects}


@pytest.fixture(scope="module")
def detected(document: dict[str, Any], real_data: Path) -> DetectedImages:
    path = real_data / "coco_mini_detections" / "coco-mini-val_bbox.json"
    if not path.is_file():
        pytest.skip(f"no {path}")
    records = json.loads(path.read_text())
    return detect_images(document, records, [image["id"] for image in document["images"]], "box", "coco")


def take(detected: DetectedImages, level: int, *, hits: bool) -> Outcomes:
    """Return the outcomes of all detections: hits or IoUs at a level."""
    matches = match(detected.overlaps, detected.predictions.scores)
    target = (matches.is_tp if hits else matches.iou)[level]
    return take_outcomes(matches, level, target, np.ones(detected.num_images), np.zeros(detected.num_classes))


def test_detection_errors_equal_netcal(detected: DetectedImages) -> None:
    metrics = pytest.importorskip("netcal.metrics", reason="netcal is not installed")
    outcomes = take(detected, HALF, hits=True)
    index = assign_equal_width(outcomes.confidence, 10)
    bins = fill_bins(index, outcomes.confidence, outcomes.target, outcomes.weight, 10)
    hits = outcomes.target.astype(int)
    theirs = metrics.ECE(10, detection=True).measure(outcomes.confidence, hits)
    assert compute_expected_error(bins) == pytest.approx(theirs, abs=1e-9)
    theirs = metrics.MCE(10, detection=True).measure(outcomes.confidence, hits)
    assert compute_maximum_error(bins) == pytest.approx(theirs, abs=1e-9)


def test_errors_of_a_classifier_equal_netcal() -> None:
    metrics = pytest.importorskip("netcal.metrics", reason="netcal is not installed")
    probabilities, labels = draw_rows()
    measures = measure_classifier(probabilities, labels)
    assert measures["ECE"] == pytest.approx(metrics.ECE(15).measure(probabilities, labels), abs=1e-9)
    assert measures["MCE"] == pytest.approx(metrics.MCE(15).measure(probabilities, labels), abs=1e-9)


def make_inputs(document: dict[str, Any], detected: DetectedImages) -> tuple[list[Any], list[Any]]:
    """Return the detections and the objects of each image as uq-detr reads them."""
    types = pytest.importorskip("uq_detr._types", reason="uq-detr is not installed")
    predictions, categories = detected.predictions, sorted(one["id"] for one in document["categories"])
    detections, objects = [], []
    for number, image in enumerate(predictions.images):
        rows = np.flatnonzero(predictions.image_index == number)
        scores = np.zeros((len(rows), len(categories)))
        scores[np.arange(len(rows)), predictions.labels[rows]] = predictions.scores[rows]
        labels = predictions.labels[rows]
        detections.append(types.Detections(boxes=corners(predictions.boxes[rows]), scores=scores, labels=labels))
        own = [annotation for annotation in document["annotations"] if annotation["image_id"] == image]
        boxes = corners(np.array([annotation["bbox"] for annotation in own], float).reshape(-1, 4))
        labels = np.array([categories.index(annotation["category_id"]) for annotation in own], int)
        objects.append(types.GroundTruth(boxes=boxes, labels=labels))
    return detections, objects


def corners(boxes: Floats) -> Floats:
    return np.concatenate((boxes[:, :2], boxes[:, :2] + boxes[:, 2:]), axis=1)


def test_object_error_equals_uq_detr(document: dict[str, Any], detected: DetectedImages) -> None:
    inputs = make_inputs(document, detected)
    oce = pytest.importorskip("uq_detr.metrics.oce").oce
    predictions = detected.predictions
    weights = np.ones(detected.num_images)
    ours = measure_objects(detected.overlaps.cover, predictions.scores, predictions.labels, weights)
    assert ours == pytest.approx(oce(*inputs).score, abs=1e-9)


@pytest.mark.parametrize(("level", "iou"), [(LOOSE, 0.1), (HALF, 0.5)])
def test_label_aware_targets_equal_uq_detr(
    level: int, iou: float, document: dict[str, Any], detected: DetectedImages
) -> None:
    """The targets are the same; its bins are of equal width between the extreme scores of a class, not of 0 to 1."""
    inputs = make_inputs(document, detected)
    laece = pytest.importorskip("uq_detr.metrics.laece").laece
    outcomes = take(detected, level, hits=False)
    errors = []
    for label in np.unique(outcomes.label):
        confidence, target = (values[outcomes.label == label] for values in (outcomes.confidence, outcomes.target))
        edges = np.linspace(confidence.min(), confidence.max(), 26)
        index = (np.searchsorted(edges, confidence, side="left") - 1).clip(0, 24)
        errors.append(compute_expected_error(fill_bins(index, confidence, target, np.ones(len(target)), 25)))
    theirs = laece(*inputs, tp_criterion="greedy", iou_threshold=iou).score
    assert float(np.mean(errors)) == pytest.approx(theirs, abs=1e-5)


def test_maps_equal_those_of_scikit_learn() -> None:
    """Logistic regression without a penalty on logits is Platt scaling, without an intercept temperature scaling."""
    chance = np.random.default_rng(0)
    scores = chance.uniform(0.02, 0.98, 500)
    targets = (chance.uniform(size=500) < scores**2).astype(float)
    features = logit(scores)[:, None]
    platt, temperature = fit_platt(scores, targets), fit_temperature(scores, targets)
    regression = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(features, targets)
    assert (platt.slope, platt.intercept) == pytest.approx((*regression.coef_[0], *regression.intercept_), abs=1e-5)
    regression = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10, max_iter=1000).fit(features, targets)
    assert 1 / temperature.temperature == pytest.approx(regression.coef_[0, 0], abs=1e-5)
    isotonic = IsotonicRegression(out_of_bounds="clip").fit(scores, targets)
    # of the fit's own scores: between two steps scikit-learn interpolates, here the lower step goes on
    assert fit_isotonic(scores, targets)(scores) == pytest.approx(isotonic.predict(scores), abs=1e-5)
