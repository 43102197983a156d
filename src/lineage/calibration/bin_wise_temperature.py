"""Bin-wise temperature scaling, BTS (Ji et al., arXiv:1908.11528): a temperature for each bin of confidence.

A sample belongs to the bin of its uncalibrated confidence. The last bin is [.999, 1]; the others hold equal numbers of
the samples below. The augmented form, ABTS, fits the same map on augmented images as well: more samples in each bin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lineage.calibration.logit import Floats, logit, sigmoid
from lineage.calibration.temperature import fit_temperature

LAST_BIN = 0.999
FEWEST = 20  # samples of a bin that has a temperature of its own


@dataclass(frozen=True, slots=True)
class BinWiseTemperature:
    edges: tuple[float, ...]  # between the bins, M - 1
    temperatures: tuple[float, ...]  # M

    def __call__(self, scores: Floats) -> Floats:
        # deviates: third-party code leaves scores below the lowest of validation unscaled; here the outer bins are open
        bins = np.searchsorted(np.array(self.edges), scores, side="right")
        return sigmoid(logit(scores) / np.array(self.temperatures)[bins])


def fit_bin_wise_temperature(scores: Floats, targets: Floats, num_bins: int = 10) -> BinWiseTemperature:
    """Return a temperature for each bin; a bin of fewer than FEWEST samples takes that of all samples.

    num_bins: 1 is temperature scaling.
    """
    edges = choose_edges(scores, num_bins)
    bins = np.searchsorted(edges, scores, side="right")
    overall = fit_temperature(scores, targets).temperature
    temperatures = [
        fit_temperature(scores[bins == index], targets[bins == index]).temperature
        if (bins == index).sum() >= FEWEST
        else overall
        for index in range(num_bins)
    ]
    return BinWiseTemperature(tuple(edges.tolist()), tuple(temperatures))


def choose_edges(scores: Floats, num_bins: int) -> Floats:
    """Return the inner edges: quantiles of the scores below LAST_BIN, and LAST_BIN."""
    below = scores[scores < LAST_BIN]
    if num_bins == 1:
        return np.zeros(0)
    if not len(below):
        return np.full(num_bins - 1, LAST_BIN)
    return np.append(np.quantile(below, np.linspace(0, 1, num_bins)[1:-1]), LAST_BIN)
