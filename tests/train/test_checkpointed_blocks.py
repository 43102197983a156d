"""Activation checkpointing: the same gradients, bit for bit, from less memory."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lineage.structures import Losses
from lineage.train.memory.checkpointed_blocks import CheckBlocksRun, NoCheckpointing, checkpoint_blocks
from tests.models.compose import build
from tests.models.scenes import batch
from tests.train import toy

SIZE = (128, 128)
MINI = ("model=mask_rcnn", "tier=mini", "dataset.classes=6")


def gradients(model: Any) -> list[Tensor]:
    images, targets = batch([SIZE] * 2, [3] * 2, 6, canvas=SIZE)
    losses: Losses = model.losses(images, targets)
    model.zero_grad()
    torch.stack([loss.sum / loss.normalizer.clamp(min=1) for loss in losses.values()]).sum().backward()
    return [parameter.grad for parameter in model.parameters() if parameter.grad is not None]


def count_saved_bytes(function: Callable[[], Any]) -> int:
    """Return the bytes of the tensors that autograd keeps as `function` runs, each storage once."""
    storages: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        _alive = function()
    return sum(storages.values())


@pytest.mark.parametrize("backbone", ["backbone.drop_path=0", "backbone.drop_path=0.3", "backbone=regnety_mini"])
def test_gradients_are_equal_bit_for_bit(backbone: str) -> None:
    torch.manual_seed(0)
    model: Any = build(*MINI, backbone)
    expected = [gradient.clone() for gradient in gradients(model)]
    blocks = checkpoint_blocks(model)
    assert blocks
    assert all(name.startswith("backbone.") for name in blocks)
    pairs = zip(gradients(model), expected, strict=True)
    assert all(torch.equal(ours, theirs) for ours, theirs in pairs)
    CheckBlocksRun(blocks).on_train_batch_end()  # each ran


def test_a_body_keeps_less_memory() -> None:
    model: Any = build(*MINI, "backbone=mini_deep")
    images, _ = batch([SIZE] * 2, [3] * 2, 6, canvas=SIZE)
    plain = count_saved_bytes(lambda: model.backbone(images))
    checkpoint_blocks(model)
    assert count_saved_bytes(lambda: model.backbone(images)) < 0.5 * plain


def test_names_of_parameters_stay_and_a_copy_runs_its_own_blocks() -> None:
    model: Any = build(*MINI)
    names = list(model.state_dict())
    blocks = checkpoint_blocks(model)
    assert list(model.state_dict()) == names
    copy = deepcopy(model)
    block = copy.get_submodule(next(iter(blocks)))
    assert block.run.method.__self__ is block


def test_without_gradients_nothing_is_kept_for_them() -> None:
    model: Any = build(*MINI)
    blocks = checkpoint_blocks(model)
    images, _ = batch([SIZE] * 2, [3] * 2, 6, canvas=SIZE)
    with torch.no_grad():
        assert not any(level.requires_grad for level in model.backbone(images))
    assert all(method.runs for methods in blocks.values() for method in methods if method.method.__name__ == "run")


def test_blocks_that_count_batches_are_refused() -> None:
    with pytest.raises(NoCheckpointing, match=r"backbone\.stages\..*BatchNorm2d, which would count each batch twice"):
        checkpoint_blocks(build(*MINI, "backbone.norm=bn"))


def test_a_model_without_an_order_of_blocks_is_refused() -> None:
    with pytest.raises(NoCheckpointing, match="no part of Toy has a method list_layers"):
        checkpoint_blocks(toy.Toy())


class Detour(nn.Module):
    """A body that reads the layers of its block and leaves out the block's own methods."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Conv2d(3, 3, 1))

    def list_layers(self) -> list[nn.Module]:
        return [self.block]

    def forward(self, x: Tensor) -> Tensor:
        return self.block[0](x)


def test_a_block_that_does_not_run_is_an_error() -> None:
    body = Detour()
    check = CheckBlocksRun(checkpoint_blocks(body))
    body(torch.ones(1, 3, 2, 2)).sum().backward()
    with pytest.raises(NoCheckpointing, match="block did not run in the first step"):
        check.on_train_batch_end()
