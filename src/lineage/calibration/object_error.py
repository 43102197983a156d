"""Object-level calibration error, OCE (Park et al., arXiv:2412.01782): the Brier score of objects, not of detections.

The class probabilities of all detections that overlap an object are averaged; its error is the squared distance of this
mean to the object's class, and 1 where no detection overlaps it. So a missed object counts, which D-ECE does not see:
a high score threshold lowers D-ECE and raises OCE. Classes that a result file has no score of have the probability 0.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lineage.calibration.calibration_error import Ints
from lineage.calibration.logit import Floats

LEAST_IOUS = (0.5, 0.75)


class Cover(NamedTuple):
    """Pairs of an object that counts and a detection of any class that overlaps it, and all such objects."""

    object_index: Ints  # [pairs]
    row: Ints  # [pairs] of the predictions
    iou: Floats  # [pairs], LEAST_IOUS[0] or more
    object_label: Ints  # [G]
    object_image: Ints  # [G] index among the sorted ids


def measure_objects(cover: Cover, scores: Floats, labels: Ints, weights: Floats) -> float:
    """Return OCE, the mean over LEAST_IOUS; NaN without objects.

    scores, labels: [N] of the predictions; a score below 0 marks a detection that does not count.
    weights: [I] how often each image counts.
    """
    weight = weights[cover.object_image]
    if not weight.sum():
        return float("nan")
    errors = [_brier(cover, scores, labels, least) for least in LEAST_IOUS]
    return float(np.mean([weight @ error / weight.sum() for error in errors]))


def _brier(cover: Cover, scores: Floats, labels: Ints, least: float) -> Floats:
    """Return [G] the error of each object: sum over classes of (mean probability - [class is right])^2."""
    # 1. The mean probability of each class that overlapping detections have.
    pairs = (cover.iou >= least) & (scores[cover.row] >= 0)
    objects, rows = cover.object_index[pairs], cover.row[pairs]
    num_objects, num_classes = len(cover.object_label), int(labels.max(initial=0)) + 1
    num_classes = max(num_classes, int(cover.object_label.max(initial=0)) + 1)
    keys, inverse = np.unique(objects * num_classes + labels[rows], return_inverse=True)
    counts = np.bincount(objects, minlength=num_objects)
    mean = np.bincount(inverse, weights=scores[rows], minlength=len(keys)) / counts[keys // num_classes]
    # 2. sum m^2 - 2 m[right] + 1
    squares = np.bincount(keys // num_classes, weights=mean**2, minlength=num_objects)
    right = keys % num_classes == cover.object_label[keys // num_classes]
    of_right = np.bincount(keys[right] // num_classes, weights=mean[right], minlength=num_objects)
    return np.asarray(squares - 2 * of_right + 1, np.float64)
