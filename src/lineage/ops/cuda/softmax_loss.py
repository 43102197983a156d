"""The cross entropy of every region's softmax, and its gradient, as one kernel each.

The plain form is SoftmaxCrossEntropy of models/losses/box_losses.py.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from lineage.ops.cuda.class_scores import block_shape, read_scores
from lineage.ops.cuda.math_functions import exp, log
from lineage.ops.layers.kernels import EXACT

NUMBERS = ("total", "stride")  # that no kernel is compiled anew for


@triton.jit(do_not_specialize=NUMBERS)
def _forward(logits, labels, valid, losses, total, CLASSES: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip
    row, _, _, x = read_scores(logits, total, CLASSES, ROWS, COLUMNS)
    label = tl.load(labels + row, mask=row < total, other=0)
    of_label = tl.load(logits + row.to(tl.int64) * CLASSES + label, mask=row < total, other=0.0)
    is_valid = tl.load(valid + row, mask=row < total, other=0) != 0
    largest = tl.max(x, 1)
    sums = tl.sum(exp(x - largest[:, None]), 1)
    loss = log(sums) - (of_label - largest)
    tl.store(losses + row, loss * is_valid.to(tl.float32), mask=row < total)


@triton.jit(do_not_specialize=NUMBERS)
def _backward(logits, labels, valid, grad, out, total, stride, CLASSES: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip  # noqa: E501
    row, column, place, x = read_scores(logits, total, CLASSES, ROWS, COLUMNS)
    label = tl.load(labels + row, mask=row < total, other=0)
    is_valid = tl.load(valid + row, mask=row < total, other=0) != 0
    factor = tl.load(grad + row * stride, mask=row < total, other=0.0) * is_valid.to(tl.float32)
    powers = exp(x - tl.max(x, 1)[:, None])
    goal = (column[None, :] == label[:, None]).to(tl.float32)
    slope = powers * tl.div_rn(1.0, tl.sum(powers, 1))[:, None] - goal
    inside = (row < total)[:, None] & (column < CLASSES)[None, :]
    tl.store(out + place, slope * factor[:, None], mask=inside)


def cross_entropy(logits: Tensor, labels: Tensor, valid: Tensor) -> Tensor:
    """Return the loss [R], 0 where not valid: logits [R, C + 1] float32, labels [R] in 0..C, valid [R] bool."""
    losses = torch.empty(len(logits), device=logits.device)
    _launch(_forward, logits, labels.contiguous(), valid.contiguous(), losses, len(logits))
    return losses


def cross_entropy_backward(logits: Tensor, labels: Tensor, valid: Tensor, grad: Tensor) -> Tensor:
    """Return the gradient of the logits; grad: that of the losses [R], also one number for all with a stride of 0."""
    out = torch.empty_like(logits)
    places = labels.contiguous(), valid.contiguous(), grad, out, len(logits), grad.stride(0)
    _launch(_backward, logits, *places)
    return out


def _launch(kernel: Any, logits: Tensor, *arguments: Any) -> None:
    block = block_shape(logits.shape[1])
    with torch.cuda.device_of(logits):
        kernel[(triton.cdiv(len(logits), block["ROWS"]),)](logits, *arguments, **block, **EXACT)
