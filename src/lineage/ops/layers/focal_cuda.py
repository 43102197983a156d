"""The focal loss of every logit and its gradient as one kernel each; the plain form is models/losses/focal.py.

RetinaNet has 16 million logits an image. In single operations of torch the loss reads and writes them some forty times.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from lineage.ops.layers.kernels import FUSED

BLOCK = 1024  # logits per program
NUMBERS = ("of_object", "of_background", "gamma", "repeats")  # that no kernel is compiled anew for


@triton.jit
def _softplus(x):  # type: ignore[no-untyped-def]
    small = tl.exp(-tl.abs(x))
    rounded = 1.0 + small  # log(1 + small), exact to rounding also where 1 + small loses digits
    log = tl.where(rounded == 1.0, small, tl.log(rounded) * small / tl.where(rounded == 1.0, 1.0, rounded - 1.0))
    return tl.maximum(x, 0.0) + log


@triton.jit
def _read(logits, gt, index, inside):  # type: ignore[no-untyped-def]
    x = tl.load(logits + index, mask=inside, other=0.0)
    is_object = tl.load(gt + index, mask=inside, other=0.0) > 0
    return is_object, tl.where(is_object, x, -x)  # the logit of p_t


@triton.jit(do_not_specialize=NUMBERS)
def _forward(logits, gt, out, total, of_object, of_background, gamma, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    index = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = index < total
    is_object, gt_logit = _read(logits, gt, index, inside)
    losses = _softplus(-gt_logit) * tl.exp(-gamma * _softplus(gt_logit))
    tl.store(out + index, losses * tl.where(is_object, of_object, of_background), mask=inside)


@triton.jit(do_not_specialize=NUMBERS)
def _backward(logits, gt, out, total, of_object, of_background, gamma, grad, repeats, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip
    index = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = index < total
    is_object, gt_logit = _read(logits, gt, index, inside)
    entropy, other = _softplus(-gt_logit), _softplus(gt_logit)  # -log(p_t), -log(1 - p_t)
    slope = -tl.exp(-gamma * other) * (tl.exp(-other) + gamma * tl.exp(-entropy) * entropy)  # by gt_logit
    slope *= tl.where(is_object, of_object, -of_background)
    tl.store(out + index, slope * tl.load(grad + index // repeats, mask=inside, other=0.0), mask=inside)


def focal(logits: Tensor, gt: Tensor, alpha: float | None, gamma: float) -> Tensor:
    """Return the loss of each logit; logits and gt (0 or 1): float32 of one shape, contiguous."""
    return _launch(_forward, logits, gt, alpha, gamma)


def focal_backward(logits: Tensor, gt: Tensor, grad: Tensor, alpha: float | None, gamma: float) -> Tensor:
    """Return the gradient of the logits; grad: that of the losses, which a sum over classes repeats for each class."""
    repeats = grad.shape[-1] if grad.dim() and grad.stride(-1) == 0 else 1
    grad = grad[..., 0] if repeats > 1 else grad
    return _launch(_backward, logits, gt, alpha, gamma, grad.contiguous(), repeats)


def _launch(kernel: Any, logits: Tensor, gt: Tensor, alpha: float | None, gamma: float, *more: Any) -> Tensor:
    out = torch.empty_like(logits)
    of_object, of_background = (1.0, 1.0) if alpha is None else (alpha, 1 - alpha)
    grid = (triton.cdiv(logits.numel(), BLOCK),)
    with torch.cuda.device_of(logits):
        numbers = (logits.numel(), float(of_object), float(of_background), float(gamma))
        kernel[grid](logits, gt, out, *numbers, *more, BLOCK=BLOCK, **FUSED)
    return out
