"""The sample: one annotated image before batching."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torchvision import tv_tensors as tv

from lineage.data.samples.mask_crops import MaskCrops


class Sample(NamedTuple):
    """One annotated image before batching: what a dataset returns and what transforms take and return."""

    image: tv.Image  # [3, h, w] uint8, RGB
    boxes: tv.BoundingBoxes  # [n, 4] float32 XYXY
    labels: Tensor  # [n] int64 in 0..C-1
    crowd: Tensor  # [n] bool: regions of many uncounted objects; proposals inside them are ignored
    masks: MaskCrops | None  # n instance masks, each stored as its own window
    keypoints: tv.KeyPoints | None  # [n, K, 2] float32
    visibility: Tensor | None  # [n, K] int64: 0 not labelled, 1 hidden, 2 visible
    image_id: int  # the image id of the annotation file
    original_size: tuple[int, int]  # (height, width) of the file, before any augmentation
    proposals: tv.BoundingBoxes | None = None  # [r, 4] float32 XYXY, best first: precomputed (Fast R-CNN)
    semantic: tv.Mask | None = None  # [h, w] uint8 class of each pixel in 0..S-1, 255 is not labelled (Panoptic FPN)
    object_weights: Tensor | None = None  # [n] float32: loss weight of each object (mixup)
