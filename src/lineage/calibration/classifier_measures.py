"""Calibration of a classifier: probabilities [N, K] against the right classes [N].

ECE and MCE: Guo et al., arXiv:1706.04599, of the highest probability, 15 bins of equal width. ACE: Nixon et al.,
arXiv:1904.01685, of each class, 15 bins of equal population. Classwise ECE: Kull et al., arXiv:1910.12656. Brier and
log loss are proper scores: they cannot be lowered by confidence that says nothing.
"""

from __future__ import annotations

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

NUM_BINS = 15


def measure_classifier(probabilities: Floats, labels: Ints, num_bins: int = NUM_BINS) -> dict[str, float]:
    """Return ECE, MCE, ACE, classwise ECE, Brier and NLL; the errors and Brier as shares, not percent."""
    confidence = probabilities.max(axis=1)
    is_right = (probabilities.argmax(axis=1) == labels).astype(np.float64)
    weight = np.ones(len(labels))
    top = fill_bins(assign_equal_width(confidence, num_bins), confidence, is_right, weight, num_bins)
    one_hot = np.eye(probabilities.shape[1])[labels]
    adaptive, classwise = [], []
    for column, target in zip(probabilities.T, one_hot.T, strict=True):
        by_rank = fill_bins(assign_equal_population(column, num_bins), column, target, weight, num_bins)
        adaptive.append(float(by_rank.gaps().mean()))
        classwise.append(
            compute_expected_error(fill_bins(assign_equal_width(column, num_bins), column, target, weight, num_bins))
        )
    return {
        "ECE": compute_expected_error(top),
        "MCE": compute_maximum_error(top),
        "ACE": float(np.mean(adaptive)),
        "classwise_ECE": float(np.mean(classwise)),
        "Brier": float(((probabilities - one_hot) ** 2).sum(axis=1).mean()),
        "NLL": float(-np.log(clip_scores(probabilities[np.arange(len(labels)), labels])).mean()),
    }
