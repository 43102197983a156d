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

LOGITS, COLUMNS = 1024, 16  # that a program reads at once: 80 classes are five times 16, with nothing left over
NUMBERS = ("total", "of_object", "of_background", "gamma")  # that no kernel is compiled anew for


@triton.jit
def _exp(x):  # type: ignore[no-untyped-def]
    """Return exp(x) by one instruction; tl.exp takes three more for denormal results, which become 0 here."""
    return tl.exp2(x * 1.4426950408889634)


@triton.jit
def _terms(x, is_object):  # type: ignore[no-untyped-def]
    """Return -log(p_t) and -log(1 - p_t).

    log(1 + e) of e in 0..1 is e times a polynomial, right to 4e-7 of itself also where 1 + e would lose digits of e:
    eight multiply-adds, a third of what a logarithm takes.
    """
    small = _exp(-tl.abs(x))
    log = 0.04408963 - 0.008539207 * small
    log = -0.10768173 + log * small
    log = 0.17745243 + log * small
    log = -0.24495465 + log * small
    log = 0.33275479 + log * small
    log = -0.49997404 + log * small
    log = (0.99999982 + log * small) * small
    z = tl.where(is_object, x, -x)  # the logit of p_t
    return tl.maximum(-z, 0.0) + log, tl.maximum(z, 0.0) + log


@triton.jit
def _place(start, total, label, CLASSES: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return the index of each logit from this program's first on, which exist, and which are of the object's class."""
    row, column = tl.arange(0, ROWS), tl.arange(0, COLUMNS)
    inside = (tl.program_id(0) * ROWS + row < total)[:, None]
    if CLASSES % COLUMNS:
        inside &= (column < CLASSES - start)[None, :]
    return row[:, None] * CLASSES + start + column[None, :], inside, (label - start)[:, None] == column[None, :]


@triton.jit(do_not_specialize=NUMBERS)
def _forward(logits, labels, out, total, of_object, of_background, gamma, CLASSES: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip  # noqa: E501
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    label = tl.load(labels + row, mask=row < total, other=0).to(tl.int32)
    logits += tl.program_id(0).to(tl.int64) * ROWS * CLASSES
    decay = gamma * -1.4426950408889634
    losses = tl.zeros([ROWS, COLUMNS], tl.float32)  # reduced once, after the loop
    for start in range(0, CLASSES, COLUMNS):
        index, inside, is_object = _place(start, total, label, CLASSES, ROWS, COLUMNS)
        x = tl.load(logits + index, mask=inside, other=0.0).to(tl.float32)
        entropy, other = _terms(x, is_object)
        value = entropy * tl.exp2(decay * other) * tl.where(is_object, of_object, of_background)
        if CLASSES % COLUMNS:
            value = tl.where(inside, value, 0.0)
        losses += value
    tl.store(out + row, tl.sum(losses, 1), mask=row < total)


@triton.jit(do_not_specialize=NUMBERS)
def _backward(logits, labels, out, total, of_object, of_background, gamma, grad, CLASSES: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip  # noqa: E501
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    label = tl.load(labels + row, mask=row < total, other=0).to(tl.int32)
    factor = tl.load(grad + row, mask=row < total, other=0.0)
    of_object, of_background = (-of_object * factor)[:, None], (of_background * factor)[:, None]
    first, decay = tl.program_id(0).to(tl.int64) * ROWS * CLASSES, gamma * -1.4426950408889634
    for start in range(0, CLASSES, COLUMNS):
        index, inside, is_object = _place(start, total, label, CLASSES, ROWS, COLUMNS)
        x = tl.load(logits + first + index, mask=inside, other=0.0).to(tl.float32)
        entropy, other = _terms(x, is_object)
        wrong = _exp(-other)  # 1 - p_t
        slope = tl.exp2(decay * other) * (wrong + gamma * entropy * (1 - wrong))  # by -z
        slope *= tl.where(is_object, of_object, of_background)
        tl.store(out + first + index, slope.to(out.dtype.element_ty), mask=inside)


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
    numbers = (len(labels), float(of_object), float(of_background), float(gamma))
    classes = logits.shape[1]
    columns = min(triton.next_power_of_2(classes), COLUMNS)
    rows = LOGITS // columns
    with torch.cuda.device_of(logits):
        kernel[(triton.cdiv(len(labels), rows),)](
            logits, labels, out, *numbers, *more, CLASSES=classes, ROWS=rows, COLUMNS=columns, **FUSED
        )
