"""Move everything of a sample that lies on its canvas together: pixels, boxes, masks, keypoints, proposals, labels.

The kernels are those of torchvision.transforms.v2 (and of `MaskCrops`); only semantic labels are sampled here, at the
same pixels as instance masks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torchvision import tv_tensors as tv
from torchvision.transforms.v2 import functional

from lineage.data.samples.mask_crops import source_pixels
from lineage.data.samples.sample import Sample

Size = tuple[int, int]  # height, width
UNLABELLED = 255  # in semantic labels


class AugmentError(ValueError):
    """An augmentation that makes no sense for this data; the message says what to choose."""


def canvas(sample: Sample) -> Size:
    """(height, width) of the image as it is now."""
    return int(sample.image.shape[-2]), int(sample.image.shape[-1])


def resize(sample: Sample, size: Size) -> Sample:
    """To exactly this (height, width); the image is antialiased, masks and labels keep to their values."""
    if size == canvas(sample):
        return sample
    labels = sample.semantic
    if labels is not None:
        rows, columns = source_pixels(labels.shape[-2], size[0]), source_pixels(labels.shape[-1], size[1])
        labels = tv.wrap(labels.index_select(-2, rows).index_select(-1, columns), like=labels)
    moved = _each(sample, lambda one: functional.resize(one, list(size)))
    return moved._replace(image=functional.resize(sample.image, list(size), antialias=True), semantic=labels)


def mirror(sample: Sample) -> Sample:
    """Left becomes right. Keypoints keep their names; see augment.Flip.

    deviates: torchvision's own flip, which maps keypoints to W - 1 - x but boxes to W - x.
    """
    moved = _each(sample, functional.horizontal_flip)
    keypoints = sample.keypoints
    if keypoints is not None:
        points = keypoints.as_subclass(Tensor).clone()
        points[..., 0] = canvas(sample)[1] - points[..., 0]
        keypoints = tv.wrap(points, like=keypoints)
    labels = None if sample.semantic is None else functional.horizontal_flip(sample.semantic)
    return moved._replace(image=functional.horizontal_flip(sample.image), semantic=labels, keypoints=keypoints)


def crop(sample: Sample, top: int, left: int, size: Size) -> Sample:
    """The window of this (height, width); boxes are cut at its border, keypoints may lie beyond it until `clean`."""
    window = (top, left, *size)
    labels = None if sample.semantic is None else functional.crop(sample.semantic, *window)
    moved = _each(sample, lambda one: functional.crop(one, *window))
    return moved._replace(image=functional.crop(sample.image, *window), semantic=labels)


def pad(sample: Sample, size: Size, fill: int) -> Sample:
    """Grown to this (height, width) at the right and below, with grey level `fill`."""
    height, width = canvas(sample)
    border = [0, 0, size[1] - width, size[0] - height]
    labels = None if sample.semantic is None else functional.pad(sample.semantic, border, fill=UNLABELLED)
    moved = _each(sample, lambda one: functional.pad(one, border))
    return moved._replace(image=functional.pad(sample.image, border, fill=fill), semantic=labels)


def _each(sample: Sample, move: Callable[[Any], Any]) -> Sample:
    names = ("boxes", "masks", "keypoints", "proposals")
    return sample._replace(**{name: move(one) for name in names if (one := getattr(sample, name)) is not None})
