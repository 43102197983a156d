"""Seed noise: how much a metric moves when only the seed changes. Samples of runs, and the noise that others published.

A smaller difference is not a result: 16 % of the row differences in the papers' ablation tables are inside the noise.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import fsum, sqrt

ENOUGH = 3  # seeds that two rows share before their correlation is looked at
TWO_STAGE = "two-stage"  # the family of all models that classify regions


@dataclass(frozen=True, slots=True)
class PublishedNoise:
    """The standard deviation of a metric between runs that differ in their seed, as somebody measured it."""

    sd: float
    df: int  # degrees of freedom: runs minus rows
    source: str
    dataset: str  # the family: voc07 and voc_0712 are of the family voc
    metrics: tuple[str, ...]
    family: str = TWO_STAGE  # of the models


GOYAL = "arXiv:1706.02677, Table 3a: 7 rows of 5 runs, Mask R-CNN R50-FPN"
PUBLISHED = (
    PublishedNoise(0.16, 28, GOYAL, "coco", ("box/AP",)),
    PublishedNoise(0.185, 28, GOYAL, "coco", ("mask/AP",)),
    PublishedNoise(
        0.4, 7, "ShaoqingRen/faster_rcnn README: 59.9 60.4 59.5 60.1 59.5; mmdetection#2773: 0.50, 0.37", "voc",
        ("voc/mAP07", "voc/mAP"),
    ),
    PublishedNoise(0.3, 4, "ViTDet's README in detectron2: 0.30 over 5 runs of ViT-B", "lvis", ("box/AP", "mask/AP")),
)  # fmt: skip


@dataclass(frozen=True)
class SeedSample:
    """The values of one cell over its seeds, in the order of the seeds."""

    values: tuple[float, ...]
    seeds: tuple[int, ...] = ()  # in the order of the values; without them, runs of two samples form no pairs
    cell: str = ""  # digest of the cell; rows of equal digests are one experiment
    training: str = ""  # digest of the training; rows of equal digests test the same checkpoints
    model: str = ""  # option of conf/model

    @property
    def n(self) -> int:
        return len(self.values)

    def repeats(self, other: SeedSample) -> bool:
        """Return whether both are the same experiment; their difference is then no result."""
        return bool(self.cell) and self.cell == other.cell

    def first(self, n: int) -> SeedSample:
        """Return the sample as it was with its first `n` seeds."""
        return (
            self if n >= self.n else SeedSample(self.values[:n], self.seeds[:n], self.cell, self.training, self.model)
        )

    @cached_property
    def by_seed(self) -> dict[int, float]:
        return dict(zip(self.seeds, self.values, strict=False))

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


def find_published(dataset: str, metric: str, models: Iterable[str]) -> PublishedNoise | None:
    """Return the published noise of a metric on a dataset's family, if all models are of the family that was measured.

    The noise of AP is not that of AP50, APs, PQ or keypoints: what was not measured is unknown.
    """
    name = dataset.lower().partition("_")[0].rstrip("0123456789")
    families = {find_family(model) for model in models}
    return next((noise for noise in PUBLISHED if (noise.dataset, {noise.family}) == (name, families)
                 and metric in noise.metrics), None)  # fmt: skip


def find_family(model: str) -> str:
    """Return the family of an option of conf/model. A model other than an R-CNN is a family of its own."""
    return TWO_STAGE if "rcnn" in model or model in ("", "rpn") or model.startswith("rpn_") else model
