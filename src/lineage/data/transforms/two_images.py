"""What augmentations of two images share: drawing a partner, and one list of objects from two."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors as tv

from lineage.data.samples.dataset import Dataset
from lineage.data.samples.mask_crops import MaskCrops, join_pieces
from lineage.data.samples.sample import Sample
from lineage.data.transforms.geometry import AugmentError


def partner(dataset: Dataset | None, sample: Sample) -> Sample:
    """Another image of the dataset, each equally likely; a dataset of one image has only itself."""
    if dataset is None:
        raise AugmentError("augment: this transform mixes in a second image and was not told of which dataset; "
                           "call lineage.data.transforms.resize_flip.bind(transform, dataset) first")  # fmt: skip
    index = int(torch.randint(len(dataset), ()))
    other = dataset[index]
    return dataset[(index + 1) % len(dataset)] if other.image_id == sample.image_id and len(dataset) > 1 else other


def joined(one: Sample, two: Sample) -> Sample:
    """The objects of both on the canvas of `one`, whose size is also that of `two`; the image remains that of `one`."""
    return one._replace(
        boxes=tv.wrap(torch.cat([one.boxes, two.boxes]), like=one.boxes),
        labels=torch.cat([one.labels, two.labels]),
        crowd=torch.cat([one.crowd, two.crowd]),
        masks=_masks(one, two),
        keypoints=_both(one.keypoints, two.keypoints),
        visibility=_both(one.visibility, two.visibility),
        proposals=None if one.proposals is None or two.proposals is None else _zipped(one.proposals, two.proposals),
        object_weights=_weights(one, two),
    )


def _both(one: Any, two: Any) -> Any:
    if one is None or two is None:
        return None
    rows = torch.cat([one, two])
    return tv.wrap(rows, like=one) if isinstance(one, tv.TVTensor) else rows


def _masks(one: Sample, two: Sample) -> MaskCrops | None:
    if one.masks is None or two.masks is None:
        return None
    pieces = one.masks.pieces() + two.masks.pieces()
    return join_pieces(pieces, one.masks.canvas_size)


def _weights(one: Sample, two: Sample) -> Tensor | None:
    if one.object_weights is None and two.object_weights is None:
        return None
    return torch.cat([torch.ones(len(s.labels)) if s.object_weights is None else s.object_weights for s in (one, two)])


def _zipped(one: tv.BoundingBoxes, two: tv.BoundingBoxes) -> tv.BoundingBoxes:
    """Best first still: the first of each, then the second of each."""
    rank = torch.cat([torch.arange(len(one)) * 2, torch.arange(len(two)) * 2 + 1])
    return tv.wrap(torch.cat([one, two])[rank.argsort()], like=one)
