"""Sanitizing of a sample after all transforms: the loader's last step."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision import tv_tensors as tv
from torchvision.transforms.v2 import functional

from lineage.data.samples.mask_crops import MaskCrops
from lineage.data.samples.sample import Sample
from lineage.data.transforms.objects import select_objects


def sanitize(sample: Sample) -> Sample:
    """Clip boxes to the image, mark keypoints outside as not labelled, remove objects of which nothing is left.

    As in detectron2 an object is removed if its box has no area or, if there are masks, its mask has no pixel. Crowds
    keep empty masks.
    """
    boxes = functional.clamp_bounding_boxes(sample.boxes).as_subclass(Tensor)  # plain: no dispatch in the lines below
    keep = (boxes[:, 2:] > boxes[:, :2]).all(1)
    if sample.masks is not None:
        keep &= sample.crowd | _has_pixels(sample.masks)
    visibility = sample.visibility
    if sample.keypoints is not None and visibility is not None:
        visibility = torch.where(_is_inside(sample.keypoints), visibility, 0)
    proposals = None if sample.proposals is None else _clip_proposals(sample.proposals)
    clipped = sample._replace(boxes=tv.wrap(boxes, like=sample.boxes), visibility=visibility, proposals=proposals)
    return clipped if keep.all() else select_objects(clipped, keep)


def _clip_proposals(proposals: tv.BoundingBoxes) -> tv.BoundingBoxes:
    """Clip to the image and remove empty ones; the order stays, best first."""
    boxes = functional.clamp_bounding_boxes(proposals)
    return tv.wrap(boxes[(boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])], like=proposals)


def _has_pixels(masks: MaskCrops) -> Tensor:
    """[n] bool"""
    return torch.tensor([bool(plane.any()) for plane in masks.planes()], dtype=torch.bool)


def _is_inside(keypoints: tv.KeyPoints) -> Tensor:
    """[n, K] bool"""
    height, width = keypoints.canvas_size
    points = keypoints.as_subclass(Tensor)
    return (points >= 0).all(-1) & (points[..., 0] <= width) & (points[..., 1] <= height)
