"""Histogram binning (Zadrozny and Elkan, ICML 2001): the score of a bin is the mean target of its samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lineage.calibration.logit import Floats
from lineage.calibration.ties import keep_order


@dataclass(frozen=True, slots=True)
class Histogram:
    edges: tuple[float, ...]  # between the bins
    values: tuple[float, ...]  # one more than edges

    def __call__(self, scores: Floats) -> Floats:
        bins = np.searchsorted(np.array(self.edges), scores, side="right")
        # deviates: inside a bin the raw order stays; the published map gives all of them one score
        return keep_order(np.array(self.values)[bins], scores)


def fit_histogram(scores: Floats, targets: Floats, num_bins: int = 10) -> Histogram:
    """Return bins of equal numbers of samples; scores that are equal share a bin, so there may be fewer."""
    edges = np.unique(np.quantile(scores, np.linspace(0, 1, num_bins + 1)[1:-1]))
    edges = edges[edges > scores.min()]
    bins = np.searchsorted(edges, scores, side="right")
    means = np.bincount(bins, weights=targets, minlength=len(edges) + 1) / np.bincount(bins, minlength=len(edges) + 1)
    return Histogram(tuple(edges.tolist()), tuple(means.tolist()))
