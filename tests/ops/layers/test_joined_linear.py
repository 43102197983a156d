"""Two layers as one product against each alone, under Triton's interpreter."""

from __future__ import annotations

from tests.ops.interpreter import run_interpreted

PROGRAM = """
import torch
from torch import nn
from lineage.ops.layers import joined_linear
from lineage.ops.layers.joined_linear import apply_joined

joined_linear.runs_kernels = lambda x: True
torch.manual_seed(0)

def round(x):
    return x.bfloat16().float()

for rows, inputs, (n, m) in ((5, 16, (3, 4)), (300, 8, (81, 4)), (7, 40, (1, 1)), (2, 8, (130, 520))):
    x = torch.randn(rows, inputs).bfloat16().requires_grad_()
    layers = nn.Linear(inputs, n), nn.Linear(inputs, m)
    outputs = apply_joined(x, *layers)
    assert [out.shape for out in outputs] == [(rows, n), (rows, m)]
    assert all(out.dtype == torch.float32 and out.is_contiguous() for out in outputs)
    parameters = [x, *layers[0].parameters(), *layers[1].parameters()]
    expected = [x.float() @ round(layer.weight).t() + round(layer.bias) for layer in layers]
    torch.testing.assert_close(list(outputs), expected, rtol=1e-2, atol=1e-2)
    grads = [round(torch.randn(out.shape)) for out in outputs]
    actual = torch.autograd.grad(outputs, parameters, grads)
    torch.testing.assert_close(actual, torch.autograd.grad(expected, parameters, grads), rtol=2e-2, atol=6e-2)
single = torch.randn(4, 8, requires_grad=True)  # float32: each layer is its own product
layers = nn.Linear(8, 3), nn.Linear(8, 4)
assert all(torch.equal(out, layer(single)) for out, layer in zip(apply_joined(single, *layers), layers))
"""


def test_both_outputs_and_gradients_under_tritons_interpreter() -> None:
    run_interpreted("-c", PROGRAM)
