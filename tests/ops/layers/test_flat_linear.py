"""A fully connected layer over regions, with its weights in the order of the device's memory and in their own."""

from __future__ import annotations

from tests.ops.interpreter import run_interpreted

PROGRAM = """
import torch
from lineage.ops.layers import flat_linear
from lineage.ops.layers.flat_linear import FlatLinear

is_fused = False
flat_linear.runs_kernels = lambda x: is_fused
apply, applied = flat_linear._OrderByBin.apply, []
flat_linear._OrderByBin.apply = lambda *arguments: applied.append(1) or apply(*arguments)
torch.manual_seed(0)

def compute(layer, regions):
    out = layer(regions)
    return out, *torch.autograd.grad(out.square().sum(), [regions, layer.weight, layer.bias])

for side, channels in ((1, 4), (3, 4), (9, 70)):  # more bins and channels than a program turns at once
    layer = FlatLinear(channels * side**2, 6)
    for memory in (torch.channels_last, torch.contiguous_format):
        for count in (0, 5):
            regions = torch.randn(count, channels, side, side).to(memory_format=memory).requires_grad_()
            is_fused = False
            expected = compute(layer, regions)
            is_fused = True
            torch.testing.assert_close(compute(layer, regions), expected, rtol=1e-4, atol=1e-4)
            assert len(applied) == (memory == torch.channels_last or side == 1)
            applied.clear()
            torch.testing.assert_close(layer(regions.flatten(1)), expected[0])  # flattened before
half = torch.randn(5, 70, 9, 9).bfloat16().contiguous(memory_format=torch.channels_last)
with torch.autocast("cpu", dtype=torch.bfloat16):
    out = layer(half)
    assert out.dtype == half.dtype
(grad,) = torch.autograd.grad(out.float().sum(), layer.weight)
assert grad.dtype == torch.float32
torch.testing.assert_close(out.float(), layer(half.float().flatten(1)), rtol=2e-2, atol=2e-2)
torch.testing.assert_close(grad, half.float().flatten(1).sum(0).expand(6, -1), rtol=2e-2, atol=2e-2)
"""


def test_reordered_weights_compute_the_layer_and_its_gradients_under_tritons_interpreter() -> None:
    run_interpreted("-c", PROGRAM)
