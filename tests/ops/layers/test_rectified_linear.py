"""A fully connected layer with its ReLU against plain torch, under Triton's interpreter."""

from __future__ import annotations

from tests.ops.interpreter import run_interpreted

PROGRAM = """
import torch
import torch.nn.functional as F
from torch import nn
from lineage.ops.layers import flat_linear, rectified_linear
from lineage.ops.layers.flat_linear import FlatLinear
from lineage.ops.layers.rectified_linear import linear_relu

flat_linear.runs_kernels = rectified_linear.runs_kernels = lambda x: True
torch.manual_seed(0)
apply, applied = rectified_linear._LinearReLU.apply, []
rectified_linear._LinearReLU.apply = lambda *arguments: applied.append(1) or apply(*arguments)

def compare(x, layer, expected, tolerance):
    out = linear_relu(x, layer)
    grad = torch.randn(out.shape).to(out.dtype)
    inputs = [x, layer.weight, layer.bias]
    torch.testing.assert_close(out, expected, rtol=tolerance, atol=tolerance)
    grads = torch.autograd.grad(out, inputs, grad), torch.autograd.grad(expected, inputs, grad)
    torch.testing.assert_close(*grads, rtol=tolerance, atol=tolerance)

for dtype, tolerance in ((torch.float32, 1e-4), (torch.bfloat16, 0.1)):
    for rows, outputs in ((5, 6), (600, 20), (1, 1)):
        x, layer = torch.randn(rows, 7).to(dtype).requires_grad_(), nn.Linear(7, outputs)
        compare(x, layer.to(dtype), F.relu(F.linear(x, layer.weight, layer.bias)), tolerance)
regions = torch.randn(5, 4, 3, 3).contiguous(memory_format=torch.channels_last).requires_grad_()
layer = FlatLinear(36, 6)
compare(regions, layer, F.relu(F.linear(regions.flatten(1), layer.weight, layer.bias)), 1e-4)
assert len(applied) == 7
linear_relu(torch.zeros(0, 7), nn.Linear(7, 2)), linear_relu(torch.zeros(3, 7), nn.Linear(7, 2, bias=False))
assert len(applied) == 7
"""


def test_layers_and_their_gradients_under_tritons_interpreter() -> None:
    run_interpreted("-c", PROGRAM)
