"""Visually coherent mixup: Bag of Freebies (arXiv:1902.04103), section 3.1.

Two images are blended as they are, each at its place on a canvas that holds both: no resizing, so objects keep their
shape. All objects of both stay, and each counts in the losses by the share of its image.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Beta
from torchvision import tv_tensors as tv

from lineage.data.samples.dataset import Dataset
from lineage.data.samples.sample import Sample
from lineage.data.transforms import geometry
from lineage.data.transforms.geometry import AugmentError
from lineage.data.transforms.two_images import joined, partner


class Mixup:
    """The first transform of a training; from step `until_step` on images stay alone (null: never)."""

    def __init__(self, *, alpha: float, beta: float, until_step: int | None) -> None:
        self.share = Beta(alpha, beta)
        self.until_step = until_step
        self.dataset: Dataset | None = None
        self.active = True

    def bind(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def at(self, step: int, seed: int) -> None:
        self.active = self.until_step is None or step < self.until_step

    def __call__(self, sample: Sample) -> Sample:
        if not self.active:
            return sample
        share = float(self.share.sample().clamp(0, 1))
        return mix(sample, partner(self.dataset, sample), share)


def mix(one: Sample, two: Sample, share: float) -> Sample:
    """`one` with this share, `two` with the rest, which image alone where the share is 1."""
    if share >= 1:
        return one._replace(object_weights=_weights(one, 1.0))
    if one.semantic is not None or two.semantic is not None:
        raise AugmentError(f"augment: mixup cannot blend the semantic labels of images {one.image_id} and "
                           f"{two.image_id}: a pixel has one class; choose another augment")  # fmt: skip
    height, width = (max(sides) for sides in zip(geometry.canvas(one), geometry.canvas(two), strict=True))
    one, two = (geometry.pad(sample, (height, width), fill=0) for sample in (one, two))
    blend = one.image.as_subclass(Tensor).float() * share + two.image.as_subclass(Tensor).float() * (1 - share)
    one, two = one._replace(object_weights=_weights(one, share)), two._replace(object_weights=_weights(two, 1 - share))
    # truncated, not rounded, as the authors' cast does
    return joined(one, two)._replace(image=tv.wrap(blend.to(torch.uint8), like=one.image))


def _weights(sample: Sample, share: float) -> Tensor:
    given = torch.ones(len(sample.labels)) if sample.object_weights is None else sample.object_weights
    return given * share
