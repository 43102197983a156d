"""Geometric operations on whole samples: pixels, boxes, masks, keypoints, proposals and semantic labels together.

The kernels are those of torchvision.transforms.v2 (and of `MaskCrops`). Only semantic labels are sampled by a kernel of
this module, at the same pixels as instance masks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torchvision import tv_tensors as tv
from torchvision.transforms.v2 import functional

from lineage.data.samples.mask_crops import source_pixels
from lineage.data.samples.sample import Sample
from lineage.structures import UNLABELLED

Size = tuple[int, int]  # height, width


class AugmentError(ValueError):
    """Error for a transform that does not fit the data; the message names one that does."""


def get_size(sample: Sample) -> Size:
    """Return the (height, width) of the image as it is now."""
    return int(sample.image.shape[-2]), int(sample.image.shape[-1])


def resize(sample: Sample, size: Size) -> Sample:
    """Resize to exactly this (height, width): the image with antialiasing, masks and labels by nearest pixels."""
    if size == get_size(sample):
        return sample
    labels = sample.semantic
    if labels is not None:
        rows, columns = source_pixels(labels.shape[-2], size[0]), source_pixels(labels.shape[-1], size[1])
        labels = tv.wrap(labels.index_select(-2, rows).index_select(-1, columns), like=labels)
    resized = _map_fields(sample, lambda field: functional.resize(field, list(size)))
    return resized._replace(image=functional.resize(sample.image, list(size), antialias=True), semantic=labels)


def horizontal_flip(sample: Sample) -> Sample:
    """Mirror left and right. Keypoints move and keep their index; `flip.flip` exchanges the indices.

    deviates: torchvision's own flip, which maps keypoints to W - 1 - x but boxes to W - x.
    """
    flipped = _map_fields(sample, functional.horizontal_flip)
    keypoints = sample.keypoints
    if keypoints is not None:
        points = keypoints.as_subclass(Tensor).clone()
        points[..., 0] = get_size(sample)[1] - points[..., 0]
        keypoints = tv.wrap(points, like=keypoints)
    labels = None if sample.semantic is None else functional.horizontal_flip(sample.semantic)
    return flipped._replace(image=functional.horizontal_flip(sample.image), semantic=labels, keypoints=keypoints)


def crop(sample: Sample, top: int, left: int, size: Size) -> Sample:
    """Return the window of this (height, width). Boxes are clipped to it; keypoints outside stay until `sanitize`."""
    window = (top, left, *size)
    labels = None if sample.semantic is None else functional.crop(sample.semantic, *window)
    cropped = _map_fields(sample, lambda field: functional.crop(field, *window))
    return cropped._replace(image=functional.crop(sample.image, *window), semantic=labels)


def pad(sample: Sample, size: Size, fill: int) -> Sample:
    """Pad at the right and below to this (height, width), with grey level `fill`."""
    height, width = get_size(sample)
    border = [0, 0, size[1] - width, size[0] - height]
    labels = None if sample.semantic is None else functional.pad(sample.semantic, border, fill=UNLABELLED)
    padded = _map_fields(sample, lambda field: functional.pad(field, border))
    return padded._replace(image=functional.pad(sample.image, border, fill=fill), semantic=labels)


def _map_fields(sample: Sample, kernel: Callable[[Any], Any]) -> Sample:
    """Apply a kernel to boxes, masks, keypoints and proposals."""
    fields = {name: getattr(sample, name) for name in ("boxes", "masks", "keypoints", "proposals")}
    return sample._replace(**{name: kernel(field) for name, field in fields.items() if field is not None})
