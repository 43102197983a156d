"""A fully connected layer over regions, with its weights in the order of the device's memory and in their own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lineage.ops.layers import flat_linear
from lineage.ops.layers.flat_linear import FlatLinear


@pytest.mark.parametrize("memory", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("side", [1, 3])
@pytest.mark.parametrize("count", [0, 5])
def test_reordered_weights_compute_the_layer_and_its_gradients(
    memory: torch.memory_format, side: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    layer = FlatLinear(4 * side**2, 6)
    regions = torch.randn(count, 4, side, side).to(memory_format=memory).requires_grad_()
    leaves = [regions, layer.weight, layer.bias]

    def compute() -> list[Tensor]:
        out = layer(regions)
        return [out, *torch.autograd.grad(out.square().sum(), leaves)]

    expected = compute()
    monkeypatch.setattr(flat_linear, "runs_kernels", lambda x: True)
    torch.testing.assert_close(layer(regions.flatten(1)), expected[0])
    for ours, theirs in zip(compute(), expected, strict=True):
        torch.testing.assert_close(ours, theirs)
