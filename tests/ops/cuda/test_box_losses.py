"""The kernels of the losses of boxes and masks, and of what follows them, against torch under Triton's interpreter."""

from __future__ import annotations

import pytest

from tests.ops.interpreter import run_interpreted

SOFTMAX = """
import torch
from lineage.models.losses import box_losses

generator = torch.Generator().manual_seed(0)

def compare(logits, labels, valid, weights):
    logits = logits.detach().requires_grad_()
    sides = []
    for on_cuda in (False, True):
        box_losses.runs_kernels = lambda x: on_cuda
        losses = box_losses.SoftmaxCrossEntropy(logits.shape[-1] - 1)(logits, labels, valid)
        gradients = (torch.autograd.grad(total, logits, retain_graph=True)[0]  # of one stride, and of stride 0
                     for total in ((losses * weights).sum(), losses.sum()))
        sides.append((losses, *gradients))
    for expected, actual in zip(*sides, strict=True):
        torch.testing.assert_close(actual, expected, rtol=2e-6, atol=2e-6, equal_nan=True)
    assert "CrossEntropy" in str(sides[1][0].grad_fn.next_functions)
    return sides[1]

for classes in (1, 2, 80, 127, 128, 1203):
    for regions in (0, 1, 20 if classes < 999 else 6):
        labels = torch.randint(classes + 1, (2, regions), generator=generator)  # the last is background
        valid = torch.rand(2, regions, generator=generator) > 0.2
        weights = torch.rand(2, regions, generator=generator)
        logits = torch.randn(2, regions, classes + 1, generator=generator)
        compare(logits, labels, valid, weights)
        compare(logits * 1e4, labels, valid, weights)  # probabilities of 0 and 1
        compare(logits, torch.full_like(labels, classes), torch.zeros_like(valid), weights)
        compare(logits.transpose(0, 1), labels.t(), valid.t(), weights.t())
        compare(logits.flip(1)[:, ::2], labels[:, ::2], valid[:, ::2], weights[:, ::2])
        if regions > 5 and classes > 1:
            broken = logits.clone()
            broken[0, 0, 0], broken[0, 1, 1] = float("nan"), float("inf")
            broken[0, 2, 0], broken[0, 3] = -float("inf"), -float("inf")
            losses, slopes, _ = compare(broken, labels, valid, weights)
            assert losses[0, :2].isnan().all() and slopes[0, 3].isnan().all()
"""

SMOOTH_L1 = """
import torch
from lineage.models.losses import box_losses
from lineage.ops import boxes as box_ops
from lineage.structures import SampledProposals, Targets
from tests.ops.test_boxes import random_boxes

generator = torch.Generator().manual_seed(0)
WEIGHTS = (10.0, 10.0, 5.0, 5.0)

def compare(deltas, sampled, targets, num_classes, beta):
    deltas, weights = deltas.detach().requires_grad_(), torch.rand(sampled.labels.shape, generator=generator)
    regression, sides = box_losses.SmoothL1(beta=beta), []
    for on_cuda in (False, True):
        box_losses.runs_kernels = lambda x: on_cuda
        losses = box_losses.regress_classes(regression, deltas, sampled, targets, num_classes, WEIGHTS)
        gradients = (torch.autograd.grad(total, deltas, retain_graph=True)[0]
                     for total in ((losses * weights).sum(), losses.sum()))
        sides.append((losses, *gradients))
    for expected, actual in zip(*sides, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5, equal_nan=True)
    assert "_SmoothL1" in str(sides[1][0].grad_fn.next_functions)
    return sides[1]

for classes, maps in ((1, 1), (80, 1), (80, 80), (33, 33), (1203, 1203)):
    for regions in (0, 1, 70 if classes < 999 else 6):
        boxes, valid = random_boxes(2, 6, seed=1), torch.rand(2, regions, generator=generator) > 0.2
        targets = Targets(boxes, torch.zeros(2, 6).long(), boxes[..., 0] > -1, boxes[..., 0] > 1e9, None, None)
        labels = torch.randint(classes + 1, (2, regions), generator=generator)
        labels[:, ::3] = classes  # background
        matched_idx = torch.randint(6, (2, regions), generator=generator)
        sampled = SampledProposals(random_boxes(2, regions, seed=2), valid, labels, matched_idx)
        deltas = torch.randn(2, regions, maps, 4, generator=generator) * 3
        deltas[:, ::5] = 0
        for beta in (1.0, 0.11, 0.0):
            compare(deltas, sampled, targets, classes, beta)
        compare(deltas, sampled._replace(valid=torch.zeros_like(valid)), targets, classes, 1.0)
        compare(deltas, sampled._replace(labels=torch.full_like(labels, classes)), targets, classes, 1.0)
        if regions > 5:
            background = labels == classes
            sampled.boxes[background] = 0  # no area: infinite deltas that count for nothing
            losses, slopes, _ = compare(deltas, sampled, targets, classes, 1.0)
            assert losses.isfinite().all() and (losses[~background & valid] > 0).any()
            deltas[0, 3], deltas[0, 4] = float("nan"), float("inf")
            compare(deltas, sampled, targets, classes, 1.0)
trained = sampled._replace(boxes=sampled.boxes.clone().requires_grad_())  # whose gradient is left to torch
box_losses.runs_kernels = lambda x: True
losses = box_losses.regress_classes(box_losses.SmoothL1(beta=1.0), deltas, trained, targets, classes, WEIGHTS)
assert torch.autograd.grad(losses.nansum(), trained.boxes)[0].any()
"""

REFINE = """
import torch
from lineage.models.losses.box_losses import SoftmaxCrossEntropy
from lineage.models.roi_heads import box_head, cascade
from tests.ops.test_boxes import random_boxes

class Head:
    orders_by_logits, select_class = box_head.BoxHead.orders_by_logits, box_head.BoxHead.select_class
    classification, bbox_reg_weights = SoftmaxCrossEntropy(1), (10.0, 10.0, 5.0, 5.0)

sizes, generator = torch.tensor([[90.0, 120.0], [150.0, 70.5]]), torch.Generator().manual_seed(0)
for classes, maps in ((1, 1), (80, 1), (80, 80), (127, 127), (1203, 1203)):
    for regions in (0, 1, 30):
        boxes = random_boxes(2, regions, seed=1)
        logits = torch.randint(12, (2, regions, classes + 1), generator=generator).float()  # many are equal
        logits[..., -1] *= 2  # background is often likeliest
        logits[:, 2:3, -1], logits[:, 3:4, -1], logits[:, 4:5, -1] = float("nan"), float("inf"), -float("inf")
        logits[:, 9:10, 0], logits[:, 10:11, 0], logits[:, 11:12] = float("nan"), float("inf"), -float("inf")
        deltas = torch.randn(2, regions, maps, 4, generator=generator).requires_grad_()
        sides = []
        for on_cuda in (False, True):
            box_head.runs_kernels = lambda x: on_cuda
            sides.append(cascade._refine(Head(), logits, deltas, boxes, sizes))
        torch.testing.assert_close(*sides, rtol=1e-6, atol=1e-4)
        assert not sides[1].requires_grad
"""

MASK = """
import torch
from lineage.models.losses import mask_losses

generator = torch.Generator().manual_seed(0)

def compare(logits, goal, weights, dtype=torch.float32):
    logits, sides = logits.to(dtype).detach().requires_grad_(), []
    for on_cuda in (False, True):
        mask_losses.runs_kernels = lambda x: on_cuda
        losses = mask_losses.sum_entropy(logits if on_cuda else logits.float(), goal)
        gradients = (torch.autograd.grad(total, logits, retain_graph=True)[0]
                     for total in ((losses * weights).sum(), losses.sum()))
        sides.append((losses, *gradients))
    assert "EntropySum" in str(sides[1][0].grad_fn.next_functions)
    for expected, actual in zip(*sides, strict=True):
        torch.testing.assert_close(actual, expected, equal_nan=True)

for regions in (0, 1, 9):
    for side in (1, 14, 28, 40):
        logits = torch.randn(2, regions, side, side, generator=generator) * 3
        goal, weights = torch.rand(logits.shape, generator=generator), torch.rand(2, regions, generator=generator)
        compare(logits, goal, weights)
        compare(logits, (goal > 0.5).float(), weights, torch.bfloat16)
        compare(logits * 1e3, (goal > 0.5).float(), weights)
        compare(logits.transpose(2, 3), goal, weights)
        logits[:, 1:2, 0, 0] = float("nan")
        compare(logits, goal, weights)
mask_losses.runs_kernels = lambda x: True
losses = mask_losses.sum_entropy(logits, goal.requires_grad_())  # whose gradient is left to torch
assert torch.autograd.grad(losses.nansum(), goal)[0].any()
"""

SCRIPTS = {"mask": MASK, "softmax": SOFTMAX, "smooth_l1": SMOOTH_L1, "refine": REFINE}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_the_kernels_agree_with_torch_under_tritons_interpreter(script: str) -> None:
    run_interpreted("-W", "ignore", "-c", script)
