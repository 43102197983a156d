"""Binned calibration errors of any confidence and target: the errors of classifiers and of detectors are of this form.

    error = sum over bins |B| / N * |mean target - mean confidence|

The target of a classifier is 1 where it is right. That of a detector is 1 where it found an object (D-ECE), or the IoU
with it (LaECE). Weights are 1, or how often the image of a sample was drawn by the bootstrap.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lineage.calibration.logit import Floats

Ints = NDArray[np.int64]


class Bins(NamedTuple):
    """Sums of the samples of each bin."""

    weight: Floats  # [M] number of samples
    confidence: Floats  # [M] mean, NaN where a bin is empty
    target: Floats  # [M] mean, NaN where a bin is empty

    def gaps(self) -> Floats:
        """Return [M] |mean target - mean confidence|, 0 where a bin is empty."""
        return np.nan_to_num(np.abs(self.target - self.confidence))


def assign_equal_width(confidence: Floats, num_bins: int) -> Ints:
    """Return [N] the bin of each confidence: [0, 1/M), ..., [1 - 1/M, 1]."""
    return np.minimum((confidence * num_bins).astype(np.int64), num_bins - 1)


def assign_equal_population(confidence: Floats, num_bins: int) -> Ints:
    """Return [N] the bin of each confidence: bins of equally many samples, in the order of confidence."""
    rank = np.empty(len(confidence), np.int64)
    rank[np.argsort(confidence, kind="stable")] = np.arange(len(confidence))
    return rank * num_bins // max(len(confidence), 1)


def fill_bins(index: Ints, confidence: Floats, target: Floats, weight: Floats, num_bins: int) -> Bins:
    """Return the sums of M bins; `index` [N] is the bin of each sample."""
    columns = (weight, weight * confidence, weight * target)
    total, confidences, targets = (
        np.asarray(np.bincount(index, weights=column, minlength=num_bins), np.float64) for column in columns
    )
    with np.errstate(invalid="ignore"):
        return Bins(total, confidences / total, targets / total)


def compute_expected_error(bins: Bins) -> float:
    """Return the mean gap of the samples; NaN without any."""
    return float(bins.weight @ bins.gaps() / bins.weight.sum()) if bins.weight.sum() else float("nan")


def compute_maximum_error(bins: Bins) -> float:
    """Return the largest gap of a bin; one of few samples may decide it, so its count belongs beside it."""
    return float(bins.gaps().max()) if bins.weight.sum() else float("nan")
