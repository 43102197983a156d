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

LOGITS, COLUMNS = 2048, 128  # of one program, and classes that it reads at once, at most
NUMBERS = ("total", "classes", "of_object", "of_background", "gamma")  # that no kernel is compiled anew for


@triton.jit
def _terms(x, is_object):  # type: ignore[no-untyped-def]
    """Return the logit z of p_t, -log(p_t), -log(1 - p_t) and exp(-|z|)."""
    z = tl.where(is_object, x, -x)
    small = tl.exp(-tl.abs(z))
    series = small * (1 - small * (1 / 2 - small * (1 / 3 - small * (1 / 4 - small / 5))))
    log = tl.where(small < 0.05, series, tl.log(1 + small))  # of a small term, 1 + small would lose digits
    return z, tl.maximum(-z, 0.0) + log, tl.maximum(z, 0.0) + log, small


@triton.jit
def _place(start, total, classes, ROWS: tl.constexpr, COLUMNS: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return the column and the index of each logit from this program's first on, and which exist."""
    row, column = tl.arange(0, ROWS), start + tl.arange(0, COLUMNS)
    inside = (tl.program_id(0) * ROWS + row < total)[:, None] & (column < classes)[None, :]
    return column, row[:, None] * classes + column[None, :], inside


@triton.jit(do_not_specialize=NUMBERS)
def _forward(logits, labels, out, total, classes, of_object, of_background, gamma, ROWS: tl.constexpr, COLUMNS: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip  # noqa: E501
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    label = tl.load(labels + row, mask=row < total, other=0).to(tl.int32)
    logits += tl.program_id(0).to(tl.int64) * ROWS * classes
    losses = tl.zeros([ROWS], tl.float32)
    for start in range(0, classes, COLUMNS):
        column, index, inside = _place(start, total, classes, ROWS, COLUMNS)
        x = tl.load(logits + index, mask=inside, other=0.0).to(tl.float32)
        is_object = label[:, None] == column[None, :]
        _, entropy, other, _ = _terms(x, is_object)
        value = entropy * tl.exp(-gamma * other) * tl.where(is_object, of_object, of_background)
        losses += tl.sum(tl.where(inside, value, 0.0), 1)
    tl.store(out + row, losses, mask=row < total)


@triton.jit(do_not_specialize=NUMBERS)
def _backward(logits, labels, out, total, classes, of_object, of_background, gamma, grad, ROWS: tl.constexpr, COLUMNS: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip  # noqa: E501
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    label = tl.load(labels + row, mask=row < total, other=0).to(tl.int32)
    factor = tl.load(grad + row, mask=row < total, other=0.0)[:, None]
    first = tl.program_id(0).to(tl.int64) * ROWS * classes
    for start in range(0, classes, COLUMNS):
        column, index, inside = _place(start, total, classes, ROWS, COLUMNS)
        x = tl.load(logits + first + index, mask=inside, other=0.0).to(tl.float32)
        is_object = label[:, None] == column[None, :]
        z, entropy, other, small = _terms(x, is_object)
        share = 1 / (1 + small)
        p_t, wrong = tl.where(z > 0, share, small * share), tl.where(z > 0, small * share, share)  # 1 - p_t
        slope = -tl.exp(-gamma * other) * (wrong + gamma * p_t * entropy)  # by z
        slope *= tl.where(is_object, of_object, -of_background)
        tl.store(out + first + index, (slope * factor).to(out.dtype.element_ty), mask=inside)


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
    columns = min(triton.next_power_of_2(logits.shape[1]), COLUMNS)
    rows = LOGITS // columns
    with torch.cuda.device_of(logits):
        kernel[(triton.cdiv(len(labels), rows),)](
            logits, labels, out, *numbers, *more, ROWS=rows, COLUMNS=columns, **FUSED
        )
