"""Sample -> Sample: what the papers do to an image and its annotations before batching.

Any transform of torchvision.transforms.v2 works here as well: a Sample is a pytree, and the kernels of `MaskCrops` move
the masks along. Randomness comes from torch's global generator, which the loader seeds for every sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors as tv
from torchvision.transforms.v2 import functional

from lineage.data.samples.dataset import Dataset
from lineage.data.samples.mask_crops import MaskCrops
from lineage.data.samples.sample import Sample
from lineage.data.transforms import geometry
from lineage.ops.random import fold_in


class ShortEdge:
    """Resize the shorter side to one of `sizes`, or to less where the longer would exceed `max_size` (Fast R-CNN)."""

    def __init__(self, sizes: Sequence[int], max_size: int) -> None:
        self.sizes = tuple(sizes)
        self.max_size = max_size

    def __call__(self, sample: Sample) -> Sample:
        target = self.sizes[int(torch.randint(len(self.sizes), ()))] if len(self.sizes) > 1 else self.sizes[0]
        return geometry.resize(sample, fitted(geometry.canvas(sample), target, self.max_size))


class ShortEdgeRange:
    """The same with a whole number between `least` and `most`, both included (detectron2's sampling "range")."""

    def __init__(self, *, least: int, most: int, max_size: int) -> None:
        self.least, self.most, self.max_size = least, most, max_size

    def __call__(self, sample: Sample) -> Sample:
        target = int(torch.randint(self.least, self.most + 1, ()))
        return geometry.resize(sample, fitted(geometry.canvas(sample), target, self.max_size))


class RandomShapes:
    """One short side for all images of `interval` steps: Bag of Freebies (arXiv:1902.04103), section 3.6; YOLOv2.

    A function of the seed and the step, so that processes and resumed runs agree.
    """

    def __init__(self, *, sizes: Sequence[int], max_size: int, interval: int) -> None:
        self.sizes, self.max_size, self.interval = tuple(sizes), max_size, interval
        self.target = self.sizes[0]

    def at(self, step: int, seed: int) -> None:
        self.target = self.sizes[fold_in("shapes", seed, step // self.interval) % len(self.sizes)]

    def __call__(self, sample: Sample) -> Sample:
        return geometry.resize(sample, fitted(geometry.canvas(sample), self.target, self.max_size))


def fitted(size: geometry.Size, short: int, long: int) -> geometry.Size:
    """The size whose shorter side is `short`, or whose longer side is `long` where that is less."""
    scale = min(short / min(size), long / max(size))
    return max(1, int(size[0] * scale + 0.5)), max(1, int(size[1] * scale + 0.5))


class Flip:
    """Mirror left and right. The dataset's `flip_indices` rename the keypoints: a left eye becomes a right."""

    def __init__(self, probability: float) -> None:
        self.probability = probability
        self.flip_indices: list[int] | None = None

    def bind(self, dataset: Dataset) -> None:
        self.flip_indices = list(dataset.meta.flip_indices) or None

    def __call__(self, sample: Sample) -> Sample:
        if torch.rand(()) >= self.probability:
            return sample
        return self.mirror(sample)

    def mirror(self, sample: Sample) -> Sample:
        mirrored, visible = geometry.mirror(sample), sample.visibility
        keypoints = mirrored.keypoints
        if keypoints is None or visible is None or self.flip_indices is None:
            return mirrored
        renamed = tv.wrap(keypoints[:, self.flip_indices], like=keypoints)
        return mirrored._replace(keypoints=renamed, visibility=visible[:, self.flip_indices])


def bind(transform: Callable[[Sample], Sample], dataset: Dataset) -> None:
    """Tell the transforms that ask for it, alone or inside others, which dataset they work on."""
    for one in parts(transform):
        if hasattr(one, "bind"):
            one.bind(dataset)


def parts(transform: Any) -> Iterator[Any]:
    """A transform and all those it is made of."""
    yield transform
    for inner in (*getattr(transform, "transforms", ()), getattr(transform, "each", None)):
        if inner is not None:
            yield from parts(inner)


def clean(sample: Sample) -> Sample:
    """Clamp to the canvas and drop what nothing is left of, with everything that belongs to it; the loader's last step.

    As in detectron2 an object goes when its box has no area or, where there are masks, its mask has no pixel.
    """
    boxes = functional.clamp_bounding_boxes(sample.boxes).as_subclass(Tensor)  # else each step below is dispatched
    keep = (boxes[:, 2:] > boxes[:, :2]).all(1)
    if sample.masks is not None:
        keep &= sample.crowd | _drawn(sample.masks)
    visible = sample.visibility
    if sample.keypoints is not None and visible is not None:
        visible = torch.where(_inside(sample.keypoints), visible, 0)
    proposals = None if sample.proposals is None else _clipped(sample.proposals)
    clamped = sample._replace(boxes=tv.wrap(boxes, like=sample.boxes), visibility=visible, proposals=proposals)
    return clamped if keep.all() else _select(clamped, keep)


def _select(sample: Sample, keep: Tensor) -> Sample:
    """The objects where this [n] bool is true."""
    return sample._replace(
        boxes=tv.wrap(sample.boxes[keep], like=sample.boxes),
        labels=sample.labels[keep],
        crowd=sample.crowd[keep],
        masks=None if sample.masks is None else sample.masks.select(keep),
        keypoints=None if sample.keypoints is None else tv.wrap(sample.keypoints[keep], like=sample.keypoints),
        visibility=None if sample.visibility is None else sample.visibility[keep],
        object_weights=None if sample.object_weights is None else sample.object_weights[keep],
    )


def _clipped(regions: tv.BoundingBoxes) -> tv.BoundingBoxes:
    """Inside the canvas, without those that nothing is left of; the order stays: best first."""
    boxes = functional.clamp_bounding_boxes(regions)
    return tv.wrap(boxes[(boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])], like=regions)


def _drawn(masks: MaskCrops) -> Tensor:
    return torch.tensor([bool(plane.any()) for plane in masks.planes()], dtype=torch.bool)


def _inside(keypoints: tv.KeyPoints) -> Tensor:
    height, width = keypoints.canvas_size
    points = keypoints.as_subclass(Tensor)
    return (points >= 0).all(-1) & (points[..., 0] <= width) & (points[..., 1] <= height)
