"""Anchors against torchvision's, on maps that are not square."""

from __future__ import annotations

import pytest
import torch
from torchvision.models.detection.anchor_utils import AnchorGenerator as TorchvisionAnchors
from torchvision.models.detection.image_list import ImageList

from lineage.models.proposals.rpn import AnchorGenerator

SIZES, RATIOS, STRIDES = ((32, 50), (128, 200)), (0.5, 1.0, 2.0), (8, 16)


def test_anchors_equal_torchvision() -> None:
    """Position by position, row after row; at a position ratio by ratio, each with all sizes."""
    maps = [torch.zeros(1, 4, 96 // stride, 160 // stride) for stride in STRIDES]
    theirs = TorchvisionAnchors(SIZES, (RATIOS,) * 2)(ImageList(torch.zeros(1, 3, 96, 160), [(96, 160)]), maps)[0]
    ours = AnchorGenerator(sizes=SIZES, aspect_ratios=RATIOS, strides=STRIDES, rounded=True)
    assert torch.equal(torch.cat(ours(maps)), theirs)
    assert ours.per_position == 6


@pytest.mark.parametrize("ratio", RATIOS)
def test_exact_anchors_have_the_area_and_the_ratio(ratio: float) -> None:
    (anchors,) = AnchorGenerator(sizes=[[50.0]], aspect_ratios=[ratio], strides=[8], rounded=False)(
        [torch.zeros(1, 1, 2, 3)]
    )
    width, height = (anchors[:, 2:] - anchors[:, :2]).unbind(1)
    torch.testing.assert_close(width * height, torch.full((6,), 2500.0))
    torch.testing.assert_close(height / width, torch.full((6,), ratio))
    centres = (anchors[:, :2] + anchors[:, 2:]) / 2
    assert centres.round().tolist() == [[0, 0], [8, 0], [16, 0], [0, 8], [8, 8], [16, 8]]
