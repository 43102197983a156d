"""Fit of a map on the detections of some images, and its test on those of others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from lineage.calibration.calibration_error import Ints
from lineage.calibration.detector_measures import ScoredImages, measure_detector
from lineage.calibration.logit import Floats
from lineage.calibration.operating_point import optimise_lrp
from lineage.calibration.overlaps import ANY, HALF, Matches, Overlaps, compute_overlaps, match
from lineage.calibration.reliability import Reliability, measure_reliability
from lineage.calibration.score_map import METHODS, GroupedMap, ScoredDetections, ScoreMap, fit_grouped
from lineage.calibration.split import CalibrationError
from lineage.eval.predictions.coco_records import from_records
from lineage.eval.predictions.predictions import Predictions
from lineage.eval.protocols.lvis import areas

TARGETS = ("precision", "iou")
FEWEST = 20  # detections of a fit


@dataclass(frozen=True, slots=True)
class Choices:
    """Choices of a fit, and of the detections that are measured."""

    method: str = "platt"
    by: tuple[str, ...] = ()
    target: str = "precision"  # at IoU .5; or the IoU itself, as LaECE_0 has it
    num_bins: int = 10
    score_thresh: float = 0.0


class DetectedImages(NamedTuple):
    """The detections on some images of a ground truth, and what they overlap."""

    predictions: Predictions
    detections: ScoredDetections  # the columns of `predictions` that a map reads
    overlaps: Overlaps
    num_images: int
    num_classes: int


class Measures(NamedTuple):
    values: dict[str, float]
    draws: dict[str, Floats]  # [R] of the bootstrap
    reliability: Reliability


def detect_images(
    document: Mapping[str, Any], records: Sequence[Mapping[str, Any]], images: Sequence[int], task: str, protocol: str
) -> DetectedImages:
    """Return the detections on `images`, matched with nothing yet."""
    ids = {*images}
    part = {
        **document,
        "images": [image for image in document["images"] if image["id"] in ids],
        "annotations": [record for record in document["annotations"] if record["image_id"] in ids],
    }
    category_ids = np.array(sorted(category["id"] for category in document["categories"]), np.int64)
    of_images = [dict(record) for record in records if record["image_id"] in ids]
    predictions = from_records(of_images, part["images"], category_ids, task)
    overlaps = compute_overlaps(part, predictions, category_ids, task, protocol)
    detections = ScoredDetections(predictions.scores, category_ids[predictions.labels], measure_areas(predictions))
    return DetectedImages(predictions, detections, overlaps, len(part["images"]), len(category_ids))


def measure_areas(predictions: Predictions) -> Floats:
    """Return [N] the areas of the boxes, or of the masks in a file without boxes."""
    boxes = areas(predictions, "box")
    if boxes.any() or not len(predictions.rle_lengths):
        return boxes
    return areas(predictions, "mask")


def fit_map(parts: Sequence[DetectedImages], choices: Choices) -> GroupedMap:
    """Fit a map on the detections of one part or, augmented, of several."""
    # 1. Detections that are right or wrong; ignored ones are neither.
    counted, targets = [], []
    for part in parts:
        matches = match(part.overlaps, part.detections.scores)
        level = HALF if choices.target == "precision" else ANY
        counts = ~matches.ignored[level] & (matches.score >= choices.score_thresh)
        target = matches.is_tp[level] if choices.target == "precision" else matches.iou[level]
        counted.append(ScoredDetections._make(column[matches.row[counts]] for column in part.detections))
        targets.append(target[counts].astype(np.float64))
    detections = ScoredDetections._make(map(np.concatenate, zip(*counted, strict=True)))
    target = np.concatenate(targets)
    # 2. Too few of them determine no map.
    if len(target) < FEWEST or not target.any():
        raise CalibrationError(explain_fewness(parts, target, choices))
    # 3. Fit.
    return fit_grouped(choose_fit(choices), detections, target, choices.by)


def explain_fewness(parts: Sequence[DetectedImages], target: Floats, choices: Choices) -> str:
    """Return why detections determine no map: too few, too few of a high score, or none on an object."""
    hits, total = int((target > 0).sum()), sum(len(part.detections.scores) for part in parts)
    limit = f" of score {choices.score_thresh:g} or more" if choices.score_thresh else ""
    line = (
        f"The images of the fit have {len(target)} detections{limit}, {hits} of them on an object: a fit needs "
        f"{FEWEST} detections and a hit. "
    )
    if choices.score_thresh and total >= FEWEST > len(target):
        return f"{line}Without --score they have {total}: choose a lower one"
    if len(target) < FEWEST:
        return f"{line}Take results of more images, or of a detector that was trained longer"
    return f"{line}Are these detections those of this ground truth? If so, the detector is too weak to be calibrated"


def choose_fit(choices: Choices) -> Callable[[Floats, Floats], ScoreMap]:
    method = METHODS[choices.method]
    return partial(method.fit, num_bins=choices.num_bins) if method.has_bins else method.fit


def measure(
    fit: DetectedImages,
    test: DetectedImages,
    change: Callable[[ScoredDetections], Floats],
    score_thresh: float,
    draws: Floats,
) -> Measures:
    """Return the measures of the test images with changed scores.

    fit: its images choose the LRP-optimal thresholds. draws: [R, I] how often each test image is drawn.
    """
    # 1. Thresholds of the fit's images.
    chosen = match(fit.overlaps, change(fit.detections))
    _, thresholds = optimise_lrp(chosen, ANY, np.ones(fit.num_images), test.num_classes)
    # 2. The test images, whole and drawn.
    scores = change(test.detections)
    matches: Matches = match(test.overlaps, scores)
    labels: Ints = test.predictions.labels
    scored = ScoredImages(matches, test.overlaps.cover, scores, labels, thresholds, test.num_classes, score_thresh)
    values = measure_detector(scored, np.ones(test.num_images))
    replicates = [measure_detector(scored, weights) for weights in draws]
    columns = {name: np.array([replicate[name] for replicate in replicates]) for name in values}
    return Measures(values, columns, measure_reliability(matches, draws, test.num_classes, score_thresh))
