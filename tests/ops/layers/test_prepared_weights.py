"""Prepared weights and their gradients against those that each layer casts by itself, under Triton's interpreter."""

from __future__ import annotations

import pytest

from tests.ops.interpreter import run_interpreted

KERNEL = """
import torch
from lineage.ops.layers.filters import FrozenNorm
from lineage.ops.layers.prepared_weights_cuda import Cast, Casts

generator = torch.Generator().manual_seed(0)
last = torch.channels_last

def random(*shape):
    return torch.randn(*shape, generator=generator)

def scale(x, norm):
    return x if norm is None else x * norm.affine()[0][:, None, None, None]

def run(like, casts):
    batch = Casts(like)
    batch.plan(casts)
    batch.write_tables()
    batch.launch()
    return len(batch.grouped), len(batch.single)

weights = [random(64, 64, 1, 1), random(64, 3, 7, 7), random(33, 5, 3, 3).to(memory_format=last), random(81, 1024),
           random(256, 64, 3, 3).to(memory_format=last), random(3), random(9000)[1:8193], random(0, 4)]
for dtype in (torch.float32, torch.bfloat16, torch.float16):
    casts = []
    for weight in weights:
        norm = FrozenNorm(*torch.rand(4, len(weight), generator=generator), 1e-5) if weight.dim() == 4 else None
        shift = None if norm is None else torch.empty(len(weight), dtype=dtype)
        casts.append(Cast(weight, torch.empty_like(weight, dtype=dtype), norm, shift))
    assert run(weights, casts) == (3, 4)  # the interpreter rounds bfloat16 towards zero
    tolerance = {"rtol": {torch.float32: 1e-5, torch.float16: 1e-3, torch.bfloat16: 8e-3}[dtype], "atol": 1e-6}
    for weight, out, norm, shift in casts:
        torch.testing.assert_close(out, scale(weight, norm).to(dtype), **tolerance)
        if norm is not None:
            torch.testing.assert_close(shift.float(), norm.affine()[1], rtol=8e-3, atol=1e-5)
    backward = [Cast(out, torch.empty_like(weight), norm, None) for weight, out, norm, _ in casts]
    run(weights, backward[1:5])  # fewer than there is room for
    for out, grad, norm, _ in backward[1:5]:
        torch.testing.assert_close(grad, scale(out.float(), norm))
Casts([]).launch()
"""

# A step of the engine without its graphs; `runs_kernels` says yes where weights are folded, prepared and reordered.
STEP = """
import torch
from torch import nn
from lineage.models.backbones.norm import FrozenBatchNorm
from lineage.ops.layers import convolution_cuda, filters, flat_linear, flat_linear_cuda
from lineage.ops.layers import prepared_weights, prepared_weights_cuda
from lineage.ops.layers.prepared_weights import PreparedWeights, UsedWeights, use_weights
from lineage.train.engines.step_gradients import StepGradients
from tests.models.compose import build
from tests.models.scenes import batch

for module in (filters, flat_linear, prepared_weights):
    module.runs_kernels = lambda x: True
prepared_weights_cuda.BLOCK = prepared_weights_cuda.SINGLE_BLOCK = 1 << 17  # the interpreter is slow per program
convolution_cuda.BLOCK, flat_linear_cuda.SIDE = 1 << 17, 256
torch.manual_seed(0)
model = build("model=mask_rcnn").train()
for module in [*model.modules()]:
    for name, child in module.named_children():
        if isinstance(child, nn.GroupNorm):
            setattr(module, name, FrozenBatchNorm(child.num_channels))
            getattr(module, name).running_var.uniform_(0.5, 2)
            getattr(module, name).running_mean.uniform_(-0.5, 0.5)
next(parameter for parameter in model.parameters() if parameter.dim() == 4).requires_grad_(False)
model = model.to(memory_format=torch.channels_last)
with torch.no_grad():
    for parameter in model.parameters():
        parameter.copy_(parameter.bfloat16())  # the interpreter rounds towards zero, torch to the nearest
inputs = batch([(96, 96)] * 2, [3, 2], 4, canvas=(96, 96))
parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]

def compute_losses():
    return torch.stack([loss.sum for loss in model.losses(*inputs).values()])

def compute_near(tensors, expected):
    for index, (ours, theirs) in enumerate(zip(tensors, expected, strict=True)):
        assert (ours is None) == (theirs is None)
        error = 0 if ours is None else float((ours - theirs).norm() / (theirs.norm() + 1e-6))
        assert error < TOLERANCE, (index, theirs.shape, error)

for dtype, TOLERANCE in ((torch.float32, 1e-4), (torch.bfloat16, 1e-2)):
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype != torch.float32):
        expected = compute_losses()
        expected_grads = torch.autograd.grad(expected.sum(), parameters, allow_unused=True)
        used = UsedWeights()
        with use_weights(used):
            assert torch.equal(compute_losses(), expected)
        weights = PreparedWeights(used.choose(dtype))
        buffers = [torch.full_like(parameter, torch.nan) for parameter in parameters]
        gradients = StepGradients(weights, parameters, buffers)
        with use_weights(weights):
            weights.prepare()
            losses = compute_losses()
        torch.testing.assert_close(losses, expected, rtol=TOLERANCE, atol=TOLERANCE)
        grads = gradients.compute(losses, torch.ones_like(losses))
        compute_near(grads, expected_grads)
        norms = [use.norm for use in weights.uses.values() if use.norm is not None]
        assert (len(norms), len(weights.uses)) == (12, 12 if dtype == torch.float32 else 43)
        assert len(gradients.leaves) == len(weights.uses) - 1  # of a frozen weight there is none
        prepared = next(iter(weights.prepared.values())).weight.clone()
        with torch.no_grad():
            next(iter(weights.uses.values())).weight.mul_(2)  # as an optimizer does
        weights.prepare()
        torch.testing.assert_close(next(iter(weights.prepared.values())).weight, 2 * prepared)
"""

# Weights with several readers: prepared and in their own type, reordered once or twice, reordered and as they are.
READERS = """
import torch
from torch import nn
from lineage.ops.layers import flat_linear, prepared_weights
from lineage.ops.layers.flat_linear import FlatLinear
from lineage.ops.layers.prepared_weights import PreparedWeights, UsedWeights, use_weights
from lineage.train.engines.step_gradients import StepGradients

flat_linear.runs_kernels = prepared_weights.runs_kernels = lambda x: True
torch.manual_seed(0)
flat, conv, unused = [FlatLinear(36, 6) for _ in range(3)], nn.Conv2d(4, 4, 3), nn.Linear(2, 2)
parameters = [parameter for layer in (*flat, conv, unused) for parameter in layer.parameters()]
with torch.no_grad():
    for parameter in parameters:
        parameter.copy_(parameter.bfloat16())
x = torch.randn(5, 4, 3, 3).to(memory_format=torch.channels_last)

def compute():
    y = flat[0](x) + flat[1](x) + flat[1](2 * x) + flat[2](x) + flat[2](x.flatten(1))
    z = conv(x).float().sum() + conv(2 * x).float().square().sum() + (3 * conv.weight).sum()
    return torch.stack((y.float().square().sum(), z))

with torch.autocast("cpu", dtype=torch.bfloat16):
    expected, used = compute(), UsedWeights()
    with use_weights(used):
        compute()
    for uses in (used.choose(torch.bfloat16), []):
        weights = PreparedWeights(uses)
        buffers = [torch.full_like(parameter, torch.nan) for parameter in parameters]
        gradients = StepGradients(weights, parameters, buffers)
        with use_weights(weights):
            weights.prepare()
            losses = compute()
        torch.testing.assert_close(losses, expected)
        grads = gradients.compute(losses, torch.ones(2))
        expected_grads = torch.autograd.grad(expected.sum(), parameters, allow_unused=True, retain_graph=True)
        assert [grad is None for grad in grads] == [grad is None for grad in expected_grads] == [False] * 8 + [True] * 2
        torch.testing.assert_close(grads[:8], list(expected_grads[:8]), rtol=1e-2, atol=1e-2)
assert {id(use.weight) for use in used.uses.values()}.isdisjoint(map(id, (flat[0].weight, flat[1].weight)))
"""


@pytest.mark.parametrize("program", [KERNEL, STEP, READERS], ids=["kernel", "step", "readers"])
def test_prepared_weights_under_tritons_interpreter(program: str) -> None:
    run_interpreted("-c", program)
