"""Heads on foreground compute filled slots alone on a CPU: the same losses and gradients as from all slots."""

from __future__ import annotations

from unittest.mock import patch

import pytest
import torch
from torch import Tensor, nn

from lineage.models.roi_heads import filled_slots
from lineage.structures import Losses, SampledProposals
from tests.models.compose import build
from tests.models.scenes import batch
from tests.models.test_mask_variants import SOFTMAX

SIZE = (96, 96)
FREE = "lineage.models.roi_heads.filled_slots.reads_are_free"
MODELS = [
    ["model=mask_rcnn"],
    ["model=mask_rcnn_c4"],
    ["model=mask_rcnn_c4", "backbone.norm=bn"],
    ["model=mask_rcnn", SOFTMAX],
    ["model=mask_rcnn_mlp"],
    ["model=pointrend"],
    ["model=keypoint_rcnn"],
    ["model=keypoint_rcnn", "model.heads.keypoint.loss_normalizer=slots"],
    ["model=cascade_mask_rcnn"],
    ["model=cascade_mask_rcnn_staged"],
]


def differentiate(model: nn.Module, counts: list[int]) -> tuple[Losses, dict[str, Tensor]]:
    """Return the losses of a batch and the gradient of each parameter."""
    model.zero_grad(set_to_none=True)
    losses = model.losses(*batch([SIZE] * 2, counts, 4, canvas=SIZE))
    torch.stack([loss.sum / loss.normalizer.clamp(min=1) for loss in losses.values()]).sum().backward()
    return losses, {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("options", MODELS, ids=" ".join)
def test_losses_and_gradients_are_those_of_all_slots(options: list[str]) -> None:
    torch.manual_seed(0)
    model = build(*options, "model.sampler.batch_size_per_image=96")
    for counts in ([3, 1], [0, 0]):
        with patch.object(filled_slots, "take", wraps=filled_slots.take) as take:
            losses, gradients = differentiate(model, counts)
        assert take.called == ("backbone.norm=bn" not in options)
        with patch(FREE, return_value=False):
            all_losses, all_gradients = differentiate(model, counts)
        assert losses.keys() == all_losses.keys()
        for name, loss in all_losses.items():
            assert losses[name].normalizer == loss.normalizer
            torch.testing.assert_close(losses[name].sum, loss.sum, atol=1e-4, rtol=1e-5)
            for mine, other in zip(losses[name].diagnostics, loss.diagnostics, strict=True):
                assert (mine.sum, mine.normalizer) == (other.sum, other.normalizer)
        assert gradients.keys() == all_gradients.keys()
        for name, gradient in all_gradients.items():
            torch.testing.assert_close(gradients[name], gradient, atol=2e-5, rtol=1e-3, msg=name)


class Head(nn.Module):
    num_classes = 4


def sample(labels: list[list[int]]) -> SampledProposals:
    tensor = torch.tensor(labels)
    index = torch.arange(tensor.shape[1]).expand_as(tensor)
    return SampledProposals(index[..., None].expand(-1, -1, 4).float(), tensor < 9, tensor, index)


def test_slots_keep_their_order_up_to_the_bucket_of_the_fullest_image() -> None:
    """Stages of a cascade lie side by side, so objects are not always in the first slots; 9 is a slot without box."""
    objects = [4, 0, 4, 1, 9, 2, *[4] * 14, 3, *[4] * 3]  # of class 4, background, and 0 to 3
    kept = filled_slots.keep_filled(sample([objects, [4] * 24]), Head())
    assert kept.labels.shape == (2, 8)
    assert kept.matched_idx[0, :4].tolist() == [1, 3, 5, 20]
    assert kept.boxes[0, :4, 0].tolist() == [1, 3, 5, 20]
    assert kept.labels[0, :4].tolist() == [0, 1, 2, 3]
    assert (kept.labels[:, 4:] == 4).sum() + (kept.labels[:, 4:] == 9).sum() == 8
    nine = filled_slots.keep_filled(sample([[1] * 9 + [4] * 15] * 2), Head())
    assert nine.labels.shape == (2, 16)


def test_all_slots_are_kept_where_they_fill_and_where_a_read_waits() -> None:
    full, few = sample([[1] * 17 + [4] * 7] * 2), sample([[4] * 24] * 2)
    assert filled_slots.keep_filled(full, Head()) is full
    assert not filled_slots.reads_are_free(torch.device("cuda"))
    with patch(FREE, return_value=False):
        assert filled_slots.keep_filled(few, Head()) is few
