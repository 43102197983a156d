"""Losses count by their weights; what is logged stays the loss itself."""

from __future__ import annotations

import pytest
import torch

from lineage.structures import Loss
from lineage.train.detection_module import UnknownLoss, combine_losses

LOSSES = {"roi_cls": Loss(torch.tensor(6.0), torch.tensor(2.0)), "roi_box": Loss(torch.tensor(8.0), torch.tensor(4.0))}


def test_a_weight_multiplies_its_loss_only() -> None:
    total, means, _ = combine_losses(LOSSES, {"roi_box": 0.5})
    assert (total.item(), means.tolist()) == (3 + 0.5 * 2, [3, 2])


def test_a_loss_without_weight_still_reaches_its_parameters() -> None:
    parameter = torch.tensor(3.0, requires_grad=True)
    total, _, _ = combine_losses(LOSSES | {"roi_box": Loss(parameter * 2, torch.tensor(1.0))}, {"roi_box": 0.0})
    total.backward()
    assert parameter.grad == 0


def test_a_weight_for_no_loss_is_refused() -> None:
    with pytest.raises(UnknownLoss, match=r"loss_weights.roi_bx: this model's losses are roi_cls, roi_box"):
        combine_losses(LOSSES, {"roi_bx": 1.0})
