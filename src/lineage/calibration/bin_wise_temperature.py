"""Bin-wise temperature scaling, BTS (Ji et al., arXiv:1908.11528): a temperature for each bin of confidence.

A sample belongs to the bin of its uncalibrated confidence. The last bin is [.999, 1]; the others hold equal numbers of
the samples below. Of a classifier whole rows are scaled, softmax(log p / T), which keeps the class; of a detector its
scores one by one, sigmoid(logit / T). The augmented form, ABTS, fits the same map on augmented images as well: more
samples in each bin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lineage.calibration.calibration_error import Ints
from lineage.calibration.logit import SMALLEST, Floats, logit, sigmoid
from lineage.calibration.temperature import COLDEST, HOTTEST, fit_temperature

LAST_BIN = 0.999
HALVINGS = 60  # of the interval of 1 / T
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


@dataclass(frozen=True, slots=True)
class RowTemperature:
    """A temperature for each bin of confidence; one bin is temperature scaling."""

    edges: tuple[float, ...]  # between the bins, M - 1
    temperatures: tuple[float, ...]  # M

    def __call__(self, probabilities: Floats) -> Floats:
        """Return calibrated rows [N, K]."""
        bins = np.searchsorted(np.array(self.edges), probabilities.max(axis=1), side="right")
        return scale_rows(take_log(probabilities), 1 / np.array(self.temperatures)[bins])


def fit_row_temperature(probabilities: Floats, labels: Ints, num_bins: int = 1) -> RowTemperature:
    """Return the temperatures; a bin of fewer than FEWEST rows takes that of all rows.

    probabilities: [N, K]. labels: [N] the right classes.
    """
    confidence = probabilities.max(axis=1)
    edges = choose_edges(confidence, num_bins)
    bins = np.searchsorted(edges, confidence, side="right")
    overall = find_temperature(probabilities, labels)
    temperatures = [
        find_temperature(probabilities[bins == index], labels[bins == index])
        if (bins == index).sum() >= FEWEST
        else overall
        for index in range(num_bins)
    ]
    return RowTemperature(tuple(edges.tolist()), tuple(temperatures))


def find_temperature(probabilities: Floats, labels: Ints) -> float:
    """Return the temperature of the least log loss, which is convex in 1 / T: its slope is halved to 0."""
    logs = take_log(probabilities)
    right = logs[np.arange(len(labels)), labels]
    low, high = 1 / HOTTEST, 1 / COLDEST
    for _ in range(HALVINGS):
        inverse = (low + high) / 2
        slope = float(((scale_rows(logs, np.full(len(logs), inverse)) * logs).sum(axis=1) - right).mean())
        low, high = (low, inverse) if slope > 0 else (inverse, high)
    return 2 / (low + high)


def take_log(probabilities: Floats) -> Floats:
    return np.log(np.clip(probabilities, SMALLEST, 1))


def scale_rows(logs: Floats, inverse: Floats) -> Floats:
    """Return softmax(logs * inverse) of rows [N, K]; inverse: [N]."""
    scaled = logs * inverse[:, None]
    exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)
