"""The cross entropy of every region's mask, summed over its pixels, and its gradient, as one kernel each.

The plain form is sum_entropy of models/losses/mask_losses.py.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from lineage.ops.cuda.math_functions import exp, log1p
from lineage.ops.layers.kernels import EXACT

PIXELS = 1024  # that a program reads at once
NUMBERS = ("area", "stride")  # that no kernel is compiled anew for


@triton.jit(do_not_specialize=NUMBERS)
def _forward(logits, goal, losses, area, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    region = tl.program_id(0).to(tl.int64)
    total = tl.zeros([BLOCK], tl.float32)
    for start in range(0, area, BLOCK):
        pixel = start + tl.arange(0, BLOCK)
        x = tl.load(logits + region * area + pixel, mask=pixel < area, other=0.0).to(tl.float32)
        truth = tl.load(goal + region * area + pixel, mask=pixel < area, other=0.0)
        log_sigmoid = tl.where(x > 0, 0.0, x) - log1p(exp(-tl.abs(x)))
        total += tl.where(pixel < area, (1 - truth) * x - log_sigmoid, 0.0)
    tl.store(losses + region, tl.sum(total, 0))


@triton.jit(do_not_specialize=NUMBERS)
def _backward(logits, goal, grad, out, area, stride, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    region = tl.program_id(0).to(tl.int64)
    pixel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(logits + region * area + pixel, mask=pixel < area, other=0.0).to(tl.float32)
    truth = tl.load(goal + region * area + pixel, mask=pixel < area, other=0.0)
    slope = (tl.div_rn(1.0, 1 + exp(-x)) - truth) * tl.load(grad + region * stride)
    tl.store(out + region * area + pixel, slope.to(out.dtype.element_ty), mask=pixel < area)


def sum_entropy(logits: Tensor, goal: Tensor) -> Tensor:
    """Return the loss [R], float32, of masks [R, M, M] against goals in 0..1, float32."""
    losses = torch.empty(len(logits), device=logits.device)
    area, block = _measure(logits)
    with torch.cuda.device_of(logits):
        _forward[(len(logits),)](logits, goal, losses, area, BLOCK=block, **EXACT)
    return losses


def sum_entropy_backward(logits: Tensor, goal: Tensor, grad: Tensor) -> Tensor:
    """Return the gradient of the logits; grad: that of the losses [R], or of stride 0."""
    out = torch.empty_like(logits)
    area, block = _measure(logits)
    with torch.cuda.device_of(logits):
        _backward[(len(logits), triton.cdiv(area, block))](
            logits, goal, grad, out, area, grad.stride(0), BLOCK=block, **EXACT
        )
    return out


def _measure(logits: Tensor) -> tuple[int, int]:
    """Return the pixels of a mask, and those that a program reads at once."""
    area = logits.shape[1] * logits.shape[2]
    return area, min(triton.next_power_of_2(area), PIXELS)
