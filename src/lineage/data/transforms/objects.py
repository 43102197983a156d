"""Selection and concatenation of a sample's objects: boxes, labels, masks and all that belongs to them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors as tv

from lineage.data.samples.mask_crops import MaskCrops, join_pieces
from lineage.data.samples.sample import Sample


def select_objects(sample: Sample, index: Tensor) -> Sample:
    """Return the sample with the objects of `index` alone: positions [k] or a [n] bool."""
    return sample._replace(
        boxes=tv.wrap(sample.boxes[index], like=sample.boxes),
        labels=sample.labels[index],
        crowd=sample.crowd[index],
        masks=None if sample.masks is None else sample.masks.select(index),
        keypoints=None if sample.keypoints is None else tv.wrap(sample.keypoints[index], like=sample.keypoints),
        visibility=None if sample.visibility is None else sample.visibility[index],
        object_weights=None if sample.object_weights is None else sample.object_weights[index],
    )


def concat_objects(first: Sample, second: Sample) -> Sample:
    """Return `first` with the objects and proposals of both. The images are of equal size."""
    proposals = None
    if first.proposals is not None and second.proposals is not None:
        proposals = _interleave(first.proposals, second.proposals)
    return first._replace(
        boxes=tv.wrap(torch.cat([first.boxes, second.boxes]), like=first.boxes),
        labels=torch.cat([first.labels, second.labels]),
        crowd=torch.cat([first.crowd, second.crowd]),
        masks=_concat_masks(first, second),
        keypoints=_concat(first.keypoints, second.keypoints),
        visibility=_concat(first.visibility, second.visibility),
        proposals=proposals,
        object_weights=_concat_weights(first, second),
    )


def _concat(first: Any, second: Any) -> Any:
    if first is None or second is None:
        return None
    rows = torch.cat([first, second])
    return tv.wrap(rows, like=first) if isinstance(first, tv.TVTensor) else rows


def _concat_masks(first: Sample, second: Sample) -> MaskCrops | None:
    if first.masks is None or second.masks is None:
        return None
    pieces = first.masks.pieces() + second.masks.pieces()
    return join_pieces(pieces, first.masks.canvas_size)


def _concat_weights(first: Sample, second: Sample) -> Tensor | None:
    if first.object_weights is None and second.object_weights is None:
        return None
    return torch.cat(
        [torch.ones(len(s.labels)) if s.object_weights is None else s.object_weights for s in (first, second)]
    )


def _interleave(first: tv.BoundingBoxes, second: tv.BoundingBoxes) -> tv.BoundingBoxes:
    """Return the proposals of both, best first: the best of each, then the second best of each."""
    rank = torch.cat([torch.arange(len(first)) * 2, torch.arange(len(second)) * 2 + 1])
    return tv.wrap(torch.cat([first, second])[rank.argsort()], like=first)
