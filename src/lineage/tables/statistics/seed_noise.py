"""Seed noise: how much a metric moves when only the seed changes, measured here or published.

A smaller difference is not a result: 16 % of the row differences in the papers' ablation tables are inside the noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import fsum, sqrt

ENOUGH = 3  # runs from which our own spread is used instead of a published one


@dataclass(frozen=True)
class PublishedNoise:
    sd: float
    source: str


# Standard deviation of AP between runs that differ in their seed, by the family of the dataset they are evaluated on.
PUBLISHED = {
    "coco": PublishedNoise(0.15, "arXiv:1706.02677, Table 3a: 0.1 to 0.2 over 5 runs of Mask R-CNN R50-FPN"),
    "voc": PublishedNoise(
        0.4, "ShaoqingRen/faster_rcnn README: 59.9 60.4 59.5 60.1 59.5; mmdetection#2773: 0.50, 0.37"
    ),
    "lvis": PublishedNoise(0.3, "ViTDet's README in detectron2: 0.30 over 5 runs of ViT-B"),
}


@dataclass(frozen=True)
class SeedSample:
    """The values of one cell over its seeds."""

    values: tuple[float, ...]
    seeds: tuple[int, ...] = ()  # in the order of the values; without them, runs of two samples form no pairs
    excluded: int = field(default=0, compare=False)  # number of runs of an earlier config of the row
    cell: str = field(default="", compare=False)  # digest of the cell; rows of equal digests are one experiment

    @property
    def n(self) -> int:
        return len(self.values)

    def repeats(self, other: SeedSample) -> bool:
        """Return whether both are the same experiment; their difference is then no result."""
        return bool(self.cell) and self.cell == other.cell

    @cached_property
    def mean(self) -> float:
        return mean(self.values)

    @cached_property
    def sd(self) -> float | None:
        """Standard deviation, estimated with n - 1; None for a single run."""
        return sd(self.values) if self.n > 1 else None


def mean(values: Sequence[float]) -> float:
    return fsum(values) / len(values)


def sd(values: Sequence[float]) -> float:
    """Return the standard deviation, estimated with n - 1.

    The standard library's `statistics` takes longer to import than a table takes to render.
    """
    if min(values) == max(values):  # exactly zero, whatever the rounding of their mean
        return 0.0
    center = mean(values)
    return sqrt(fsum((value - center) ** 2 for value in values) / (len(values) - 1))


def find_published(dataset: str) -> PublishedNoise | None:
    """Return the published noise of the dataset's family: voc07 and voc_0712 are of the family voc."""
    return PUBLISHED.get(dataset.lower().partition("_")[0].rstrip("0123456789"))
