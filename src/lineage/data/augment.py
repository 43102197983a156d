"""Sample -> Sample: what the papers do to an image and its annotations before batching.

Any transform of torchvision.transforms.v2 works here as well: a Sample is a pytree, and the kernels of `Crops` move the
masks along. Randomness comes from torch's global generator, which the loader seeds for every sample.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torchvision import tv_tensors as tv
from torchvision.transforms.v2 import functional

from lineage.data import geometry
from lineage.data.crops import Crops
from lineage.data.dataset import Dataset
from lineage.structures import Sample


class ShortEdge:
    """Resize the shorter side to one of `sizes`, or to less where the longer would exceed `max_size` (Fast R-CNN)."""

    def __init__(self, sizes: Sequence[int], max_size: int) -> None:
        self.sizes = tuple(sizes)
        self.max_size = max_size

    def __call__(self, sample: Sample) -> Sample:
        target = self.sizes[int(torch.randint(len(self.sizes), ()))] if len(self.sizes) > 1 else self.sizes[0]
        height, width = geometry.canvas(sample)
        scale = min(target / min(height, width), self.max_size / max(height, width))
        size = max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))
        return geometry.resize(sample, size)


class Flip:
    """Mirror left and right. The dataset's `mirrored` says which keypoint becomes which: a left eye becomes a right."""

    def __init__(self, probability: float) -> None:
        self.probability = probability
        self.mirrored: list[int] | None = None

    def bind(self, dataset: Dataset) -> None:
        self.mirrored = list(getattr(dataset, "mirrored", ())) or None

    def __call__(self, sample: Sample) -> Sample:
        if torch.rand(()) >= self.probability:
            return sample
        return self.mirror(sample)

    def mirror(self, sample: Sample) -> Sample:
        mirrored, visible = geometry.mirror(sample), sample.visible
        keypoints = mirrored.keypoints
        if keypoints is None or visible is None or self.mirrored is None:
            return mirrored
        renamed = tv.wrap(keypoints[:, self.mirrored], like=keypoints)
        return mirrored._replace(keypoints=renamed, visible=visible[:, self.mirrored])


def bind(transform: Callable[[Sample], Sample], dataset: Dataset) -> None:
    """Tell the transforms that ask for it, alone or in a Compose, which dataset they work on."""
    for one in (transform, *getattr(transform, "transforms", ())):
        if hasattr(one, "bind"):
            one.bind(dataset)


def clean(sample: Sample) -> Sample:
    """Clamp to the canvas and drop what nothing is left of, with everything that belongs to it; the loader's last step.

    As in detectron2 an object goes when its box has no area or, where there are masks, its mask has no pixel.
    """
    boxes = functional.clamp_bounding_boxes(sample.boxes)
    keep = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    if sample.masks is not None:
        keep &= sample.crowd | _drawn(sample.masks)
    visible = sample.visible
    if sample.keypoints is not None and visible is not None:
        visible = torch.where(_inside(sample.keypoints), visible, 0)
    return sample._replace(
        boxes=tv.wrap(boxes[keep], like=boxes),
        labels=sample.labels[keep],
        crowd=sample.crowd[keep],
        masks=None if sample.masks is None else (sample.masks if keep.all() else sample.masks.select(keep)),
        keypoints=None if sample.keypoints is None else tv.wrap(sample.keypoints[keep], like=sample.keypoints),
        visible=None if visible is None else visible[keep],
        proposals=None if sample.proposals is None else _clipped(sample.proposals),
        weights=None if sample.weights is None else sample.weights[keep],
    )


def _clipped(regions: tv.BoundingBoxes) -> tv.BoundingBoxes:
    """Inside the canvas, without those that nothing is left of; the order stays: best first."""
    boxes = functional.clamp_bounding_boxes(regions)
    return tv.wrap(boxes[(boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])], like=regions)


def _drawn(masks: Crops) -> Tensor:
    return torch.tensor([bool(bits.any()) for bits, _ in masks.pieces()], dtype=torch.bool)


def _inside(keypoints: tv.KeyPoints) -> Tensor:
    height, width = keypoints.canvas_size
    points = keypoints.as_subclass(Tensor)
    return (points >= 0).all(-1) & (points[..., 0] <= width) & (points[..., 1] <= height)
