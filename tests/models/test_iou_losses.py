"""Overlap losses against torchvision's, and what must hold for all of them."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torchvision import ops

from lineage.models.losses import iou_losses
from lineage.models.losses.iou_losses import DecodedBoxLoss

ALL = {
    "iou": partial(iou_losses.iou, eps=1e-7, logarithm=False),
    "log_iou": partial(iou_losses.iou, eps=1e-6, logarithm=True),
    "giou": partial(iou_losses.giou, eps=1e-7),
    "diou": partial(iou_losses.diou, eps=1e-7),
    "ciou": partial(iou_losses.ciou, eps=1e-7),
    "bounded_iou": partial(iou_losses.bounded_iou, beta=0.2, eps=1e-3),
}


def boxes(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    low = torch.rand(count, 2, generator=generator) * 60
    return torch.cat((low, low + 5 + torch.rand(count, 2, generator=generator) * 40), 1)


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("giou", ops.generalized_box_iou_loss),
        ("diou", ops.distance_box_iou_loss),
        ("ciou", ops.complete_box_iou_loss),
    ],
)
def test_costs_and_gradients_equal_torchvision(name: str, theirs: object) -> None:
    a, b = boxes(200, 0), boxes(200, 1)
    mine, other = a.clone().requires_grad_(), a.clone().requires_grad_()
    cost, expected = ALL[name](mine, b), theirs(other, b)  # type: ignore[operator]
    torch.testing.assert_close(cost, expected, atol=1e-6, rtol=1e-5)
    cost.sum().backward()
    expected.sum().backward()
    torch.testing.assert_close(mine.grad, other.grad, atol=1e-6, rtol=1e-4)


def test_iou_is_one_minus_the_pairwise_overlap() -> None:
    a, b = boxes(50, 2), boxes(50, 3)
    torch.testing.assert_close(ALL["iou"](a, b), 1 - ops.box_iou(a, b).diagonal())


@pytest.mark.parametrize("name", ALL)
def test_equal_boxes_cost_nothing_and_a_step_away_costs_more(name: str) -> None:
    a = boxes(20, 4)
    assert ALL[name](a, a).abs().max() < 1e-4
    costs = [ALL[name](a + torch.tensor([step, 0, step, 0]), a) for step in (0.5, 1.0, 2.0, 4.0)]
    assert all((more > less).all() for less, more in pairwise(costs))


def test_bounded_iou_is_the_overlap_of_a_pure_shift() -> None:
    """Shifted in x alone, the bound is tight: (w - 2d') with d' = d / 1 gives IoU (w - d) / (w + d) at d / 2."""
    truth = torch.tensor([[0.0, 0, 10, 10]])
    shifted = truth + torch.tensor([2.0, 0, 2, 0])
    cost = iou_losses.bounded_iou(shifted, truth, beta=1e-9, eps=0.0)
    torch.testing.assert_close(cost, torch.tensor([1 - (10 - 4) / (10 + 4)]))


@pytest.mark.parametrize("name", ALL)
def test_slots_without_an_object_cost_nothing_and_stay_finite(name: str) -> None:
    loss = DecodedBoxLoss(loss_fn=ALL[name], loss_weight=10.0)
    deltas = torch.full((1, 4, 4), 0.05).requires_grad_()
    regions = torch.cat((boxes(2, 5), torch.zeros(2, 4)))[None]
    truth = torch.cat((boxes(2, 5) + 2, torch.zeros(2, 4)))[None]
    foreground = torch.tensor([[True, False, False, False]])
    cost = loss(deltas, regions, truth, foreground, (1.0, 1.0, 1.0, 1.0))
    assert cost[0, 0] > 0
    assert cost[0, 1:].tolist() == [0, 0, 0]
    cost.sum().backward()
    assert deltas.grad is not None
    assert deltas.grad.isfinite().all()
    assert deltas.grad[0, 1:].abs().sum() == 0
    assert deltas.grad[0, 0].abs().sum() > 0
