"""The focal loss of every region over all its classes, and its gradient, as one kernel each.

The plain form is models/losses/focal.py. RetinaNet has 16 million logits an image: in single operations of torch the
loss reads and writes them some forty times, here it reads them once, and the gradient reads and writes them once.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from lineage.ops.layers.kernels import FUSED

ROWS, COLUMNS = 128, 16  # regions of a program, and classes that it reads at once
NUMBERS = ("classes", "of_object", "of_background", "gamma")  # that no kernel is compiled anew for


@triton.jit
def _terms(x, is_object):  # type: ignore[no-untyped-def]
    """Return the logit z of p_t, -log(p_t), -log(1 - p_t) and exp(-|z|)."""
    z = tl.where(is_object, x, -x)
    small = tl.exp(-tl.abs(z))
    rounded = 1.0 + small  # log(1 + small), exact to rounding also where 1 + small loses digits
    log = tl.where(rounded == 1.0, small, tl.log(rounded) * small / tl.where(rounded == 1.0, 1.0, rounded - 1.0))
    return z, tl.maximum(-z, 0.0) + log, tl.maximum(z, 0.0) + log, small


@triton.jit(do_not_specialize=NUMBERS)
def _forward(logits, labels, out, total, classes, of_object, of_background, gamma, ROWS: tl.constexpr, COLUMNS: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip  # noqa: E501
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    label = tl.load(labels + row, mask=row < total, other=0)
    losses = tl.zeros([ROWS], tl.float32)
    for start in range(0, classes, COLUMNS):
        column = start + tl.arange(0, COLUMNS)
        inside = (row < total)[:, None] & (column < classes)[None, :]
        x = tl.load(logits + row[:, None] * classes + column[None, :], mask=inside, other=0.0).to(tl.float32)
        is_object = label[:, None] == column[None, :]
        _, entropy, other, _ = _terms(x, is_object)
        value = entropy * tl.exp(-gamma * other) * tl.where(is_object, of_object, of_background)
        losses += tl.sum(tl.where(inside, value, 0.0), 1)
    tl.store(out + row, losses, mask=row < total)


@triton.jit(do_not_specialize=NUMBERS)
def _backward(logits, labels, out, total, classes, of_object, of_background, gamma, grad, ROWS: tl.constexpr, COLUMNS: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip  # noqa: E501
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    label = tl.load(labels + row, mask=row < total, other=0)
    factor = tl.load(grad + row, mask=row < total, other=0.0)[:, None]
    for start in range(0, classes, COLUMNS):
        column = start + tl.arange(0, COLUMNS)
        inside = (row < total)[:, None] & (column < classes)[None, :]
        index = row[:, None] * classes + column[None, :]
        is_object = label[:, None] == column[None, :]
        z, entropy, other, small = _terms(tl.load(logits + index, mask=inside, other=0.0).to(tl.float32), is_object)
        p_t = tl.where(z > 0, 1.0, small) / (1.0 + small)
        wrong = tl.where(z > 0, small, 1.0) / (1.0 + small)  # 1 - p_t
        slope = -tl.exp(-gamma * other) * (wrong + gamma * p_t * entropy)  # by z
        slope *= tl.where(is_object, of_object, -of_background)
        tl.store(out + index, (slope * factor).to(out.dtype.element_ty), mask=inside)


def focal(logits: Tensor, labels: Tensor, alpha: float | None, gamma: float) -> Tensor:
    """Return the loss [R], float32, of logits [R, C] and labels [R] in 0..C, C for background."""
    out = logits.new_empty(len(labels), dtype=torch.float32)
    _launch(_forward, logits, labels, out, alpha, gamma)
    return out


def focal_backward(logits: Tensor, labels: Tensor, grad: Tensor, alpha: float | None, gamma: float) -> Tensor:
    """Return the gradient of the logits; grad: that of the losses, [R]."""
    out = torch.empty_like(logits)
    _launch(_backward, logits, labels, out, alpha, gamma, grad.contiguous())
    return out


def _launch(
    kernel: Any, logits: Tensor, labels: Tensor, out: Tensor, alpha: float | None, gamma: float, *more: Tensor
) -> None:
    of_object, of_background = (1.0, 1.0) if alpha is None else (alpha, 1 - alpha)
    numbers = (*logits.shape, float(of_object), float(of_background), float(gamma))
    with torch.cuda.device_of(logits):
        kernel[(triton.cdiv(len(labels), ROWS),)](
            logits, labels, out, *numbers, *more, ROWS=ROWS, COLUMNS=COLUMNS, **FUSED
        )
