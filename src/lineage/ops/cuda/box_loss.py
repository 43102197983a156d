"""The smooth L1 loss of every region's box, and its gradient, as one kernel each.

The plain form is SmoothL1 of models/losses/box_losses.py: of all deltas those of the region's class are compared with
the deltas of its object. The first kernel keeps their slopes, so the second has only to write them between zeros.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from lineage.ops.cuda.box_deltas import encode_box, read_boxes, write_boxes
from lineage.ops.layers.kernels import EXACT
from lineage.structures import SampledProposals

REGIONS, DELTAS, COLUMNS = (
    64,
    1024,
    128,
)  # regions per program of the forward pass; deltas of one of the backward pass, and the most of a row
NUMBERS = (
    "total",
    "per_image",
    "slots",
    "background",
    "wx",
    "wy",
    "ww",
    "wh",
    "beta",
    "stride",
)  # for which no kernel is compiled anew


@triton.jit
def _smooth_l1(prediction, goal, beta):  # type: ignore[no-untyped-def]
    """Return the loss and its slope; NaN is neither far nor near and stays NaN."""
    x = prediction - goal
    size = tl.abs(x)
    is_far = size >= beta
    sign = tl.where(x > 0, 1.0, tl.where(x < 0, -1.0, 0.0))
    loss = tl.where(is_far, size - 0.5 * beta, tl.div_rn(0.5 * size * size, beta))
    return loss, tl.where(is_far, sign, tl.div_rn(x, beta))


@triton.jit(do_not_specialize=NUMBERS)
def _forward(deltas, labels, valid, regions, boxes, matched, losses, slopes, total, per_image, slots, background, wx, wy, ww, wh, beta, CLASSES: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip  # noqa: E501
    index = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = index < total
    label = tl.load(labels + index, mask=inside, other=0)
    is_foreground = (tl.load(valid + index, mask=inside, other=0) != 0) & (label < background)
    gt_box = index // per_image * slots + tl.load(matched + index, mask=inside, other=0)
    gx, gy, gw, gh = encode_box(boxes, gt_box, regions, index, inside & is_foreground, wx, wy, ww, wh)
    dx, dy, dw, dh = read_boxes(deltas, index * CLASSES + tl.minimum(label, CLASSES - 1), inside)
    loss_x, slope_x = _smooth_l1(dx, tl.where(is_foreground, gx, 0.0), beta)
    loss_y, slope_y = _smooth_l1(dy, tl.where(is_foreground, gy, 0.0), beta)
    loss_w, slope_w = _smooth_l1(dw, tl.where(is_foreground, gw, 0.0), beta)
    loss_h, slope_h = _smooth_l1(dh, tl.where(is_foreground, gh, 0.0), beta)
    factor = is_foreground.to(tl.float32)
    tl.store(losses + index, (loss_x + loss_y + loss_w + loss_h) * factor, mask=inside)
    write_boxes(slopes, index, inside, slope_x * factor, slope_y * factor, slope_w * factor, slope_h * factor)


@triton.jit(do_not_specialize=NUMBERS)
def _backward(slopes, labels, grad, out, total, stride, CLASSES: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip  # noqa: E501
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = (tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS))[None, :]
    label = tl.minimum(tl.load(labels + row, mask=row < total, other=0), CLASSES - 1)
    factor = tl.load(grad + row * stride, mask=row < total, other=0.0)
    inside = (row < total)[:, None] & (column < CLASSES * 4)
    is_of_label = inside & (column // 4 == label[:, None])
    slope = tl.load(slopes + row[:, None] * 4 + column % 4, mask=is_of_label, other=0.0)
    value = tl.where(is_of_label, slope * factor[:, None], 0.0)
    tl.store(out + row.to(tl.int64)[:, None] * (CLASSES * 4) + column, value, mask=inside)


def smooth_l1(
    deltas: Tensor, sampled: SampledProposals, gt_boxes: Tensor, background: int, weights: Sequence[float], beta: float
) -> tuple[Tensor, Tensor]:
    """Return the losses [B * N], 0 where not valid or of label `background`, and their slopes [B, N, 4].

    deltas [B, N, K, 4], of all classes or one for any; gt_boxes [B, G, 4]
    """
    boxes, valid, labels, matched_idx = sampled
    losses, slopes = torch.empty(labels.numel(), device=deltas.device), deltas.new_empty(boxes.shape)
    inputs = [x.contiguous() for x in (deltas, labels, valid, boxes, gt_boxes, matched_idx)]
    numbers = (labels.numel(), max(labels.shape[1], 1), gt_boxes.shape[1], background, *map(float, weights), beta)
    grid, block = (triton.cdiv(labels.numel(), REGIONS),), {"CLASSES": deltas.shape[2], "BLOCK": REGIONS}
    with torch.cuda.device_of(deltas):
        _forward[grid](*inputs, losses, slopes, *numbers, **block, num_warps=2, **EXACT)
    return losses, slopes


def smooth_l1_backward(slopes: Tensor, labels: Tensor, grad: Tensor, classes: int) -> Tensor:
    """Return the gradient of the deltas [B, N, K, 4]; grad: that of the losses [B * N], or of stride 0."""
    out = slopes.new_empty(*labels.shape, classes, 4)
    columns = min(triton.next_power_of_2(classes * 4), COLUMNS)
    rows = DELTAS // columns
    grid = triton.cdiv(labels.numel(), rows), triton.cdiv(classes * 4, columns)
    numbers = labels.numel(), grad.stride(0)
    with torch.cuda.device_of(out):
        _backward[grid](
            slopes, labels.contiguous(), grad, out, *numbers, CLASSES=classes, ROWS=rows, COLUMNS=columns, **EXACT
        )
    return out
