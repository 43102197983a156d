"""Anchors against torchvision's, on maps that are not square."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator as TorchvisionAnchors
from torchvision.models.detection.image_list import ImageList

from lineage.models.proposals.rpn import AnchorGenerator
from lineage.structures import Proposals
from tests.models.compose import build
from tests.models.packing import pack_on_cpu
from tests.models.scenes import batch

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


def test_packed_levels_have_the_losses_gradients_and_proposals_of_single_levels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    rpn = build("model=faster_rcnn", "model.proposals.depth=2").proposals
    for parameter in rpn.parameters():  # so that biases are not zero, nor any scores equal
        nn.init.normal_(parameter, std=0.05)
    images, targets = batch([(128, 160), (100, 150)], [3, 2], 4, canvas=(128, 160))
    sides = ((32, 40), (16, 20), (8, 10), (4, 5), (2, 3))
    channels = rpn.convolution.in_channels
    features = [torch.randn(2, channels, *side, requires_grad=True) for side in sides]

    def run() -> tuple[list[Tensor], tuple[Tensor, ...], Proposals]:
        proposals, by_name = rpn.losses(images, features, targets)
        losses = [loss.sum for loss in by_name.values()]
        return losses, torch.autograd.grad(sum(losses), [*features, *rpn.parameters()]), proposals

    expected = run()
    calls = pack_on_cpu(monkeypatch)
    actual = run()
    assert calls == [4, 4]  # two convolutions
    torch.testing.assert_close(actual[:2], expected[:2], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(actual[2].boxes, expected[2].boxes, rtol=1e-4, atol=1e-3)
