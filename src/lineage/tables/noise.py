"""How much a metric moves when nothing but the seed changes, measured here or by others.

A smaller difference is not a result: 16 % of the row differences in the papers' ablation tables are inside the noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev

ENOUGH = 3  # runs from which our own spread is used instead of a published one

# Standard deviation of AP between runs that differ in their seed, by the dataset they are evaluated on.
PUBLISHED = {
    "coco": 0.15,  # Goyal et al. 2017 (arXiv:1706.02677) Table 3a: 0.1 to 0.2 over 5 runs of Mask R-CNN R50-FPN
    "voc": 0.4,  # ShaoqingRen/faster_rcnn README: 59.9 60.4 59.5 60.1 59.5, sd 0.39; mmdetection#2773: sd 0.50 and 0.37
    "lvis": 0.3,  # ViTDet's README in detectron2: 0.30 over 5 runs of ViT-B
}

# 97.5 % quantile of Student's t by degrees of freedom; the last holds for all larger ones (normal: 1.96)
QUANTILES = (12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
NORMAL = 1.96


@dataclass(frozen=True)
class Sample:
    """The values of one cell over its seeds."""

    values: tuple[float, ...]

    @property
    def n(self) -> int:
        return len(self.values)

    @property
    def mean(self) -> float:
        return fmean(self.values)

    @property
    def sd(self) -> float | None:
        """Of the population, estimated with n - 1; None for a single run."""
        return stdev(self.values) if self.n > 1 else None


@dataclass(frozen=True)
class Noise:
    sd: float
    quantile: float  # of the distribution that a mean divided by its standard error follows

    def margin(self, *sizes: float) -> float:
        """Half the 95 % interval of a difference between means of so many runs each."""
        return self.quantile * self.sd * sqrt(sum(1 / size for size in sizes))


def of(samples: Sequence[Sample], dataset: str) -> Noise | None:
    """Our own spread, pooled, where every sample has enough runs; else the published one of the dataset; else none."""
    if all(sample.n >= ENOUGH for sample in samples):
        freedom = sum(sample.n - 1 for sample in samples)
        squares = sum((sample.sd or 0.0) ** 2 * (sample.n - 1) for sample in samples)
        return Noise(sqrt(squares / freedom), QUANTILES[freedom - 1] if freedom <= len(QUANTILES) else NORMAL)
    family = dataset.lower().partition("_")[0].rstrip("0123456789")
    return Noise(PUBLISHED[family], NORMAL) if family in PUBLISHED else None
