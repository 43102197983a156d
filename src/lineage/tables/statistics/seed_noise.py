"""How much a metric moves when nothing but the seed changes, measured here or by others.

A smaller difference is not a result: 16 % of the row differences in the papers' ablation tables are inside the noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import fsum, sqrt

ENOUGH = 3  # runs from which our own spread is used instead of a published one


@dataclass(frozen=True)
class Published:
    sd: float
    source: str


# Standard deviation of AP between runs that differ in their seed, by the family of the dataset they are evaluated on.
PUBLISHED = {
    "coco": Published(0.15, "arXiv:1706.02677, Table 3a: 0.1 to 0.2 over 5 runs of Mask R-CNN R50-FPN"),
    "voc": Published(0.4, "ShaoqingRen/faster_rcnn README: 59.9 60.4 59.5 60.1 59.5; mmdetection#2773: 0.50, 0.37"),
    "lvis": Published(0.3, "ViTDet's README in detectron2: 0.30 over 5 runs of ViT-B"),
}


@dataclass(frozen=True)
class Sample:
    """The values of one cell over its seeds."""

    values: tuple[float, ...]
    seeds: tuple[int, ...] = ()  # in the order of the values; without them, runs of two samples form no pairs
    older: int = field(default=0, compare=False)  # runs left out, of a config that the row no longer has
    recipe: str = field(default="", compare=False)  # what was run: another row of an equal one ran the same

    @property
    def n(self) -> int:
        return len(self.values)

    def repeats(self, other: Sample) -> bool:
        """Are both the same experiment, so that their difference says nothing?"""
        return bool(self.recipe) and self.recipe == other.recipe

    @cached_property
    def mean(self) -> float:
        return mean(self.values)

    @cached_property
    def sd(self) -> float | None:
        """Of the population, estimated with n - 1; None for a single run."""
        return sd(self.values) if self.n > 1 else None


def mean(values: Sequence[float]) -> float:
    return fsum(values) / len(values)


def sd(values: Sequence[float]) -> float:
    """Of the population, estimated with n - 1; the standard library's takes longer to import than a table to render."""
    if min(values) == max(values):  # exactly zero, whatever the rounding of their mean
        return 0.0
    middle = mean(values)
    return sqrt(fsum((value - middle) ** 2 for value in values) / (len(values) - 1))


def published(dataset: str) -> Published | None:
    return PUBLISHED.get(dataset.lower().partition("_")[0].rstrip("0123456789"))
