"""Sanitizing: what is left of a sample after its transforms."""

from __future__ import annotations

import torch
from torchvision import tv_tensors as tv

from lineage.data.samples.mask_crops import MaskCrops
from lineage.data.transforms.sanitize import sanitize
from tests.data.samples import scene


def test_sanitize_drops_an_object_with_all_that_belongs_to_it() -> None:
    sample = scene(4)
    boxes = sample.boxes.clone()
    boxes[1] = torch.tensor([60.0, 5.0, 70.0, 9.0])  # beyond the right border: nothing is left
    boxes[2, 2] = 99.0
    sanitized = sanitize(sample._replace(boxes=tv.wrap(boxes, like=sample.boxes)))
    assert sanitized.labels.tolist() == [0, 2, 3]
    assert sanitized.boxes[1, 2] == 53
    assert sample.masks is not None
    assert sanitized.masks is not None
    assert sanitized.masks.dense().equal(sample.masks.dense()[[0, 2, 3]])
    assert sanitized.keypoints is not None
    assert sanitized.visibility is not None
    assert len(sanitized.crowd) == len(sanitized.keypoints) == len(sanitized.visibility) == 3


def test_sanitize_drops_an_object_whose_mask_vanished_but_keeps_a_crowd() -> None:
    empty = MaskCrops.from_masks(torch.zeros(2, 37, 53))
    sample = scene(2)._replace(masks=empty, crowd=torch.tensor([True, False]))
    assert sanitize(sample).labels.tolist() == [0]


def test_sanitize_hides_keypoints_outside_the_image() -> None:
    sample = scene(1, joints=2)
    points = torch.tensor([[[-1.0, 5.0], [5.0, 5.0]]])
    sanitized = sanitize(
        sample._replace(keypoints=tv.wrap(points, like=sample.keypoints), visibility=torch.tensor([[2, 2]]))
    )
    assert sanitized.visibility is not None
    assert sanitized.visibility.tolist() == [[0, 2]]
