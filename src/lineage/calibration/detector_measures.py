"""Calibration of a detector beside its AP and LRP: what a score promises, and what was there.

D-ECE (Kueppers et al., CVPRW 2020): confidence against precision at IoU .5, all classes together, 10 equal bins.
LaECE (Oksuz et al., CVPR 2023): confidence against precision x mean IoU at IoU .10, class by class, 25 bins.
LaECE_0, LaACE_0 (Kuzucu et al., ECCV 2024): any overlap matches, and the target is the IoU itself; LaACE_0 has bins of
one detection. They are of the detections above the LRP-optimal thresholds of their classes, chosen on the fit's images.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lineage.calibration.calibration_error import (
    Ints,
    assign_equal_population,
    assign_equal_width,
    compute_expected_error,
    compute_maximum_error,
    fill_bins,
)
from lineage.calibration.logit import Floats, clip_scores
from lineage.calibration.object_error import Cover, measure_objects
from lineage.calibration.operating_point import optimise_lrp
from lineage.calibration.overlaps import ANY, HALF, LOOSE, Matches
from lineage.eval.metrics.bootstrap import bootstrap_ap
from lineage.eval.metrics.matching import MatchedDetections
from lineage.eval.scores import nan_mean

NUM_BINS, NUM_CLASS_BINS = 10, 25


class Outcomes(NamedTuple):
    """Detections that count, with what their scores should have been."""

    confidence: Floats  # [n]
    target: Floats  # [n]
    label: Ints  # [n]
    weight: Floats  # [n]


class ScoredImages(NamedTuple):
    """The detections of the test images, matched, and the choices of their measures."""

    matches: Matches
    cover: Cover
    scores: Floats  # [N] of all predictions
    labels: Ints  # [N]
    thresholds: Floats  # [C] LRP-optimal scores of the fit's images
    num_classes: int
    score_thresh: float  # detections below do not count, except for AP and LRP


def measure_detector(scored: ScoredImages, weights: Floats) -> dict[str, float]:
    """Return all measures in percent, NLL in nats; `weights` [I] are how often each image counts."""
    matches = scored.matches
    least = np.full(scored.num_classes, scored.score_thresh)
    hits = take_outcomes(matches, HALF, matches.is_tp[HALF], weights, least)
    loose = take_outcomes(matches, LOOSE, matches.iou[LOOSE], weights, least)
    operating = take_outcomes(matches, ANY, matches.iou[ANY], weights, np.maximum(least, scored.thresholds))
    bins = fill_bins(assign_equal_width(hits.confidence, NUM_BINS), hits.confidence, hits.target, hits.weight, NUM_BINS)
    ranked = assign_equal_population(hits.confidence, NUM_BINS)
    by_rank = fill_bins(ranked, hits.confidence, hits.target, hits.weight, NUM_BINS)
    covering = np.where(scored.scores >= scored.score_thresh, scored.scores, -1.0)
    percent = {
        "D-ECE": compute_expected_error(bins),
        "D-MCE": compute_maximum_error(bins),
        "D-ACE": compute_expected_error(by_rank),
        "LaECE": measure_label_aware_error(loose),
        "LaECE_0": measure_label_aware_error(operating),
        "LaACE_0": measure_label_aware_distance(operating),
        "OCE": measure_objects(scored.cover, covering, scored.labels, weights),
        "Brier": average((hits.confidence - hits.target) ** 2, hits.weight),
        "AP": measure_ap(matches, weights, scored.num_classes) / 100,
        "oLRP": nan_mean(optimise_lrp(matches, HALF, weights, scored.num_classes)[0]),
    }
    return {name: 100 * value for name, value in percent.items()} | {"NLL": measure_log_loss(hits)}


def take_outcomes(matches: Matches, level: int, target: Floats, weights: Floats, thresholds: Floats) -> Outcomes:
    """Return the detections from their class's threshold [C] on that are not ignored at a level of IoU.

    deviates: the official LaACE averages ignored detections with an IoU of 0, by a reduced mask; here they are left out
    """
    rows = ~matches.ignored[level] & (matches.score >= thresholds[matches.label])
    rows &= weights[matches.image] > 0
    label = matches.label[rows]
    return Outcomes(matches.score[rows], target[rows].astype(np.float64), label, weights[matches.image[rows]])


def measure_label_aware_error(outcomes: Outcomes) -> float:
    """Return the mean over classes of the binned error of confidence and IoU; classes without detections are left out.

    deviates: the official code drops classes of error 0 as well; here they count
    """
    num_classes = int(outcomes.label.max(initial=-1)) + 1
    index = outcomes.label * NUM_CLASS_BINS + assign_equal_width(outcomes.confidence, NUM_CLASS_BINS)
    bins = fill_bins(index, outcomes.confidence, outcomes.target, outcomes.weight, num_classes * NUM_CLASS_BINS)
    gaps = (bins.weight * bins.gaps()).reshape(num_classes, NUM_CLASS_BINS).sum(axis=1)
    return average_classes(gaps, bins.weight.reshape(num_classes, NUM_CLASS_BINS).sum(axis=1))


def measure_label_aware_distance(outcomes: Outcomes) -> float:
    """Return the mean over classes of the mean |confidence - IoU|."""
    distance = outcomes.weight * np.abs(outcomes.confidence - outcomes.target)
    sums, counts = (np.bincount(outcomes.label, weights=values) for values in (distance, outcomes.weight))
    return average_classes(np.asarray(sums, np.float64), np.asarray(counts, np.float64))


def average_classes(sums: Floats, counts: Floats) -> float:
    return nan_mean(np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0))


def average(values: Floats, weight: Floats) -> float:
    return float(weight @ values / weight.sum()) if weight.sum() else float("nan")


def measure_log_loss(outcomes: Outcomes) -> float:
    confidence = clip_scores(outcomes.confidence)
    target = outcomes.target
    return average(-target * np.log(confidence) - (1 - target) * np.log1p(-confidence), outcomes.weight)


def measure_ap(matches: Matches, weights: Floats, num_classes: int) -> float:
    """Return COCO's AP in percent, over objects of all sizes."""
    return bootstrap_ap(split_classes(matches, num_classes), weights[None]).ap[0]


def split_classes(matches: Matches, num_classes: int) -> list[MatchedDetections]:
    """Return the matches of each class at COCO's ten thresholds."""
    starts = np.searchsorted(matches.label, np.arange(num_classes + 1))
    classes = []
    for label in range(num_classes):
        rows = slice(starts[label], starts[label + 1])
        images = matches.object_image[matches.object_label == label]
        classes.append(
            MatchedDetections(
                matches.score[rows], np.zeros(rows.stop - rows.start, np.int64), matches.is_tp[None, HALF:, rows],
                matches.ignored[None, HALF:, rows], matches.iou[HALF, rows], np.array([len(images)]),
                matches.image[rows], images,
            )
        )  # fmt: skip
    return classes
