"""The reliability of scores: the precision of each bin of confidence, with its interval and number of detections."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lineage.calibration.calibration_error import Bins, assign_equal_width, fill_bins
from lineage.calibration.detector_measures import NUM_BINS, take_outcomes
from lineage.calibration.logit import Floats
from lineage.calibration.overlaps import HALF, Matches

INTERVAL = (2.5, 97.5)  # percentiles of the bootstrap


class Reliability(NamedTuple):
    """One value for each of M bins of equal width; NaN where a bin is empty."""

    num_detections: Floats
    confidence: Floats  # mean
    precision: Floats  # share of hits at IoU .5
    low: Floats  # interval of the precision, over draws of images
    high: Floats


def measure_reliability(
    matches: Matches, draws: Floats, num_classes: int, score_thresh: float, num_bins: int = NUM_BINS
) -> Reliability:
    """Return the reliability of the detections from a score on; `draws` [R, I] are weights of the images."""
    least = np.full(num_classes, score_thresh)

    def fill(weights: Floats) -> Bins:
        hits = take_outcomes(matches, HALF, matches.is_tp[HALF], weights, least)
        index = assign_equal_width(hits.confidence, num_bins)
        return fill_bins(index, hits.confidence, hits.target, hits.weight, num_bins)

    whole = fill(np.ones(draws.shape[1]))
    precisions = [fill(weights).target for weights in draws]
    low, high = np.full((2, num_bins), np.nan)
    for number in range(num_bins):
        low[number], high[number] = find_interval(np.array([precision[number] for precision in precisions]))
    return Reliability(whole.weight, whole.confidence, whole.target, low, high)


def find_interval(draws: Floats) -> tuple[float, float]:
    """Return the 95 % interval of a measure; NaN without draws."""
    finite = draws[~np.isnan(draws)]
    if not len(finite):
        return float("nan"), float("nan")
    low, high = np.percentile(finite, INTERVAL)
    return float(low), float(high)
