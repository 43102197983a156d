"""Kernels in place of chains of small operations on a CUDA device, against the plain operations on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

from lineage.models.losses import box_losses, diagnostics
from lineage.models.losses.mask_losses import sum_entropy
from lineage.models.proposals.anchor_grid import repeat
from lineage.models.roi_heads.pooler import Pooler
from lineage.ops import boxes as box_ops
from lineage.ops.mask_sampling import crop_and_resize
from lineage.ops.matching import Matcher
from lineage.ops.random import fold_in, uniform
from lineage.structures import Proposals, SampledProposals, Targets
from tests.models.scenes import batch
from tests.ops.test_boxes import random_boxes

pytestmark = pytest.mark.gpu
SIZES = torch.tensor([[90.0, 120.0], [150.0, 70.5]])
WEIGHTS = (10.0, 10.0, 5.0, 5.0)


def assert_equal_on_cuda(function: Callable[..., Any], *arguments: Any, rtol: float = 0, atol: float = 0) -> None:
    """Compare the tensors that a function returns on both devices."""
    expected = tree_leaves(function(*arguments))
    on_cuda = tree_map_only(Tensor, lambda x: x.cuda(), arguments)
    actual = tree_leaves(function(*on_cuda))
    for ours, theirs in zip(actual, expected, strict=True):
        if isinstance(theirs, Tensor):
            torch.testing.assert_close(
                ours.cpu(), theirs, rtol=rtol, atol=atol, equal_nan=True, check_dtype=theirs.numel() > 1
            )


def test_random_numbers_are_the_same_bits() -> None:
    keys = torch.tensor([*(fold_in(0, image) for image in range(16)), 0, 1, 2**63 - 1])
    for salt, count in ((0, 1), (1, 268569), (32, 1000)):
        assert_equal_on_cuda(uniform, keys, salt, count)


def test_boxes() -> None:
    anchors, boxes = random_boxes(2, 3000, seed=1, extent=1300), random_boxes(2, 3000, seed=2, extent=1300)
    deltas = torch.randn(2, 3000, 4, generator=torch.Generator().manual_seed(0)) * 4
    deltas[0, 0] = torch.tensor([float("nan"), float("inf"), -float("inf"), 1e30])
    anchors[1, 0] = 0
    for function, *arguments in (
        (box_ops.encode, boxes, anchors, WEIGHTS),
        (box_ops.decode, deltas, anchors, WEIGHTS),
        (box_ops.decode_inside, deltas, anchors, WEIGHTS, SIZES),
    ):
        assert_equal_on_cuda(function, *arguments, rtol=1e-6, atol=1e-3)  # exp and log differ by a digit
    moved = torch.cat((deltas, boxes, -boxes), 1)
    assert_equal_on_cuda(box_ops.clip, moved, SIZES)
    assert_equal_on_cuda(box_ops.has_min_size, moved, 2.5)


@pytest.mark.parametrize("aligned", [False, True])
def test_mask_targets(aligned: bool) -> None:
    size = (96, 128)
    images, targets = batch([size] * 2, [6, 4], 3, canvas=size, seed=3)
    boxes = targets.boxes[:, :4] + torch.randn(2, 4, 4, generator=torch.Generator().manual_seed(0)) * 4
    matched_idx = torch.arange(4).expand(2, 4)

    def crop(*arguments: Any) -> Tensor:
        return crop_and_resize(*arguments, size=28, sampling_ratio=4, aligned=aligned)

    assert_equal_on_cuda(crop, targets.masks, boxes, matched_idx, images.sizes, atol=1e-5)


@pytest.mark.parametrize("strides", [(4, 8, 16, 32), (16,)])
def test_levels_of_regions(strides: tuple[int, ...]) -> None:
    boxes = random_boxes(2, 5000, seed=0, extent=1000)
    sides = 224 * 2.0 ** torch.arange(-6, 4)  # of exactly a level
    boxes[1, :10] = torch.stack((sides * 0, sides * 0, sides, sides), -1)
    boxes[0, :2] = torch.tensor([[0.0] * 4, [float("nan")] * 4])
    pool = Pooler(
        lambda size: lambda maps, rois, level=None: (rois, level),  # type: ignore[arg-type, return-value]
        size=7, strides=strides, canonical_size=224, canonical_level=4,
    )  # fmt: skip

    def scale(boxes: Tensor) -> object:
        return pool.to(boxes.device)([None] * len(strides), boxes)  # type: ignore[list-item]

    assert_equal_on_cuda(scale, boxes)


def test_anchors() -> None:
    for sides in ((100, 168), (13, 21), (1, 1)):
        assert_equal_on_cuda(repeat, torch.randn(3, 4) * 100, torch.zeros(1, 1, *sides), 8)


def test_diagnostics() -> None:
    generator = torch.Generator().manual_seed(0)
    valid, foreground, labels = (torch.randint(0, high, (2, 3000), generator=generator) for high in (2, 2, 4))
    assert_equal_on_cuda(diagnostics.count_samples, foreground.bool(), valid.bool())
    probabilities = torch.rand(2, 3000, 4, generator=generator)
    assert_equal_on_cuda(diagnostics.measure_classification, probabilities, labels, valid.bool())
    logits, goal = torch.randn(2, 2, 64, 28, 28, generator=generator)
    assert_equal_on_cuda(diagnostics.measure_masks, logits, goal.abs(), foreground[:, :64].bool())
    _, targets = batch([(96, 128)] * 2, [6, 4], 3, canvas=(96, 128), seed=3)
    regions = targets.boxes.repeat(1, 300, 1) + torch.randn(2, 300 * targets.boxes.shape[1], 4, generator=generator) * 9
    is_valid = torch.rand(regions.shape[:2], generator=generator) > 0.9
    assert_equal_on_cuda(diagnostics.measure_recall, Proposals(regions, regions[..., 0], is_valid), targets)


@pytest.mark.parametrize("classes", [1, 80, 1203])
def test_losses_of_boxes(classes: int) -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(classes + 1, (2, 300), generator=generator)
    sampled = SampledProposals(
        random_boxes(2, 300, seed=1),
        torch.rand(2, 300, generator=generator) > 0.2,
        labels,
        torch.randint(6, (2, 300), generator=generator),
    )
    boxes = random_boxes(2, 6, seed=2)
    targets = Targets(boxes, labels[:, :6], labels[:, :6] >= 0, labels[:, :6] < 0, None, None)
    logits = torch.randn(2, 300, classes + 1, generator=generator) * 9

    def entropy(logits: Tensor, sampled: SampledProposals) -> tuple[Tensor, ...]:
        logits = logits.clone().requires_grad_()
        losses = box_losses.SoftmaxCrossEntropy(classes)(logits, sampled.labels, sampled.valid)
        return losses.detach(), *torch.autograd.grad(losses.sum(), logits)

    def smooth_l1(deltas: Tensor, sampled: SampledProposals, targets: Targets) -> tuple[Tensor, ...]:
        deltas = deltas.clone().requires_grad_()
        regression = box_losses.SmoothL1(beta=0.5)
        losses = box_losses.regress_classes(regression, deltas, sampled, targets, classes, WEIGHTS)
        return losses.detach(), *torch.autograd.grad((losses * sampled.valid).sum(), deltas)

    assert_equal_on_cuda(entropy, logits, sampled, rtol=1e-5, atol=1e-5)
    for maps in {1, classes}:
        deltas = torch.randn(2, 300, maps, 4, generator=generator)
        assert_equal_on_cuda(smooth_l1, deltas, sampled, targets, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_losses_of_masks(dtype: torch.dtype) -> None:
    logits, goal = torch.randn(2, 2, 64, 28, 28, generator=torch.Generator().manual_seed(0))

    def entropy(logits: Tensor, goal: Tensor) -> tuple[Tensor, ...]:
        logits = logits.clone().requires_grad_()
        losses = sum_entropy(logits if logits.is_cuda else logits.float(), goal)
        return losses.detach(), *torch.autograd.grad(losses.sum(), logits)

    assert_equal_on_cuda(entropy, logits.to(dtype), goal.abs().clamp(max=1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("best", [False, True])
def test_labels_of_regions(best: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    boxes, valid = random_boxes(3, 40, seed=1), torch.rand(3, 40, generator=generator) > 0.2
    crowd, labels = valid & (torch.rand(3, 40, generator=generator) > 0.8), torch.randint(80, (3, 40))
    targets = Targets(boxes, labels, valid, crowd, None, None)
    regions = boxes.repeat(1, 25, 1) + torch.randn(3, 1000, 4, generator=generator)
    is_valid = torch.rand(3, 1000, generator=generator) > 0.2
    matcher = Matcher(fg_iou_thresh=0.6, bg_iou_thresh=(0.1, 0.6), allow_low_quality_matches=best, crowd_ignore_iof=0.7)
    assert_equal_on_cuda(matcher, regions, targets)

    def label(regions: Tensor, is_valid: Tensor, targets: Targets) -> SampledProposals:
        return matcher.label(regions, is_valid, targets, num_classes=80, min_size=5.0)

    assert_equal_on_cuda(label, regions, is_valid, targets)
