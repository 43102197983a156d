"""The CUDA kernels of ops.boxes: encode, decode with or without a clip or a choice, clip, has_min_size.

A division, product or sum is rounded as torch's on a CPU, and NaN stays NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from lineage.ops.cuda.math_functions import KEEP_NAN, clamp, exp, log
from lineage.ops.layers.kernels import EXACT

BLOCK = 256  # boxes per program
COUNTS = ("total", "per_image", "anchors_per_image")
NUMBERS = (*COUNTS, "wx", "wy", "ww", "wh", "max_log_ratio", "min_size")  # no kernel is compiled anew for


@triton.jit
def read_boxes(boxes, index, inside):  # type: ignore[no-untyped-def]
    place = boxes + index * 4
    x1, y1 = tl.load(place, mask=inside, other=0.0), tl.load(place + 1, mask=inside, other=0.0)
    x2, y2 = tl.load(place + 2, mask=inside, other=0.0), tl.load(place + 3, mask=inside, other=0.0)
    return x1, y1, x2, y2


@triton.jit
def write_boxes(out, index, inside, a, b, c, d):  # type: ignore[no-untyped-def]
    place = out + index * 4
    tl.store(place, a, mask=inside)
    tl.store(place + 1, b, mask=inside)
    tl.store(place + 2, c, mask=inside)
    tl.store(place + 3, d, mask=inside)


@triton.jit
def _center(boxes, index, inside):  # type: ignore[no-untyped-def]
    x1, y1, x2, y2 = read_boxes(boxes, index, inside)
    width, height = x2 - x1, y2 - y1
    return x1 + 0.5 * width, y1 + 0.5 * height, width, height


@triton.jit
def limit_box(sizes, image, inside, x1, y1, x2, y2):  # type: ignore[no-untyped-def]
    height = tl.load(sizes + image * 2, mask=inside, other=0.0)
    width = tl.load(sizes + image * 2 + 1, mask=inside, other=0.0)
    return clamp(x1, 0.0, width), clamp(y1, 0.0, height), clamp(x2, 0.0, width), clamp(y2, 0.0, height)


@triton.jit
def encode_box(boxes, index, anchors, anchor, inside, wx, wy, ww, wh):  # type: ignore[no-untyped-def]
    x, y, width, height = _center(boxes, index, inside)
    ax, ay, awidth, aheight = _center(anchors, anchor, inside)
    dx, dy = tl.div_rn(wx * (x - ax), awidth), tl.div_rn(wy * (y - ay), aheight)
    return dx, dy, ww * log(tl.div_rn(width, awidth)), wh * log(tl.div_rn(height, aheight))


@triton.jit
def decode_box(deltas, index, anchors, anchor, inside, wx, wy, ww, wh, max_log_ratio):  # type: ignore[no-untyped-def]
    ax, ay, awidth, aheight = _center(anchors, anchor, inside)
    dx, dy, dw, dh = read_boxes(deltas, index, inside)
    x, y = tl.div_rn(dx, wx) * awidth + ax, tl.div_rn(dy, wy) * aheight + ay
    half_width = 0.5 * exp(tl.minimum(tl.div_rn(dw, ww), max_log_ratio, KEEP_NAN)) * awidth
    half_height = 0.5 * exp(tl.minimum(tl.div_rn(dh, wh), max_log_ratio, KEEP_NAN)) * aheight
    return x - half_width, y - half_height, x + half_width, y + half_height


@triton.jit(do_not_specialize=NUMBERS)
def _encode(boxes, anchors, out, total, wx, wy, ww, wh, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    index = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = index < total
    dx, dy, dw, dh = encode_box(boxes, index, anchors, index, inside, wx, wy, ww, wh)
    write_boxes(out, index, inside, dx, dy, dw, dh)


@triton.jit(do_not_specialize=NUMBERS)
def _decode(deltas, anchors, chosen, sizes, out, total, per_image, anchors_per_image, wx, wy, ww, wh, max_log_ratio, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip  # noqa: E501
    index = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = index < total
    of_deltas, of_anchors, exists = index, index, inside
    if chosen is not None:
        of_anchors = tl.load(chosen + index, mask=inside, other=-1)
        of_deltas, exists = index // per_image * anchors_per_image + of_anchors, of_anchors >= 0
    x1, y1, x2, y2 = decode_box(deltas, of_deltas, anchors, of_anchors, exists, wx, wy, ww, wh, max_log_ratio)
    if sizes is not None:
        x1, y1, x2, y2 = limit_box(sizes, index // per_image, inside, x1, y1, x2, y2)
    write_boxes(out, index, inside, x1, y1, x2, y2)  # deltas and anchors of zeros make a box of zeros


@triton.jit(do_not_specialize=NUMBERS)
def _clip(boxes, sizes, out, total, per_image, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    index = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = index < total
    x1, y1, x2, y2 = read_boxes(boxes, index, inside)
    x1, y1, x2, y2 = limit_box(sizes, index // per_image, inside, x1, y1, x2, y2)
    write_boxes(out, index, inside, x1, y1, x2, y2)


@triton.jit(do_not_specialize=NUMBERS)
def _has_min_size(boxes, out, total, min_size, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    index = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = index < total
    x1, y1, x2, y2 = read_boxes(boxes, index, inside)
    tl.store(out + index, (x2 - x1 >= min_size) & (y2 - y1 >= min_size), mask=inside)


def encode(boxes: Tensor, anchors: Tensor, weights: Sequence[float]) -> Tensor:
    """Return the deltas [..., 4] that move anchors onto boxes, both [..., 4] and broadcast."""
    boxes, anchors = _broadcast(boxes, anchors)
    return _launch(_encode, boxes, anchors, torch.empty_like(boxes), boxes.numel() // 4, *map(float, weights))


def decode(
    deltas: Tensor, anchors: Tensor, weights: Sequence[float], max_log_ratio: float, sizes: Tensor | None = None
) -> Tensor:
    """Apply deltas to anchors, both [..., 4] and broadcast; clip the boxes [B, ..., 4] to sizes [B, 2] if any."""
    deltas, anchors = _broadcast(deltas, anchors)
    numbers = (*_count(deltas), 0, *map(float, weights), max_log_ratio)
    sizes = None if sizes is None else sizes.contiguous()
    return _launch(_decode, deltas, anchors, None, sizes, torch.empty_like(deltas), *numbers)


def decode_at(
    deltas: Tensor, anchors: Tensor, index: Tensor, weights: Sequence[float], max_log_ratio: float, sizes: Tensor
) -> Tensor:
    """Decode and clip what index [B, ..., K] chooses of deltas [B, A, 4] and anchors [A, 4]; below 0: zeros."""
    out = torch.empty(*index.shape, 4, dtype=deltas.dtype, device=deltas.device)
    numbers = (*_count(out), len(anchors), *map(float, weights), max_log_ratio)
    tensors = (deltas.contiguous(), anchors.contiguous(), index.contiguous(), sizes.contiguous(), out)
    return _launch(_decode, *tensors, *numbers)


def clip(boxes: Tensor, sizes: Tensor) -> Tensor:
    """Clip boxes [B, ..., 4] to sizes [B, 2]."""
    boxes = boxes.contiguous()
    return _launch(_clip, boxes, sizes.contiguous(), torch.empty_like(boxes), *_count(boxes))


def has_min_size(boxes: Tensor, min_size: float) -> Tensor:
    """Return where both sides are at least `min_size`: [..., 4] -> [...] bool"""
    boxes = boxes.contiguous()
    out = torch.empty(boxes.shape[:-1], dtype=torch.bool, device=boxes.device)
    return _launch(_has_min_size, boxes, out, out.numel(), float(min_size))


def _broadcast(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    a, b = torch.broadcast_tensors(a, b)
    return a.contiguous(), b.contiguous()


def _count(boxes: Tensor) -> tuple[int, int]:
    """Return the number of boxes [B, ..., 4] and that of one image."""
    total = boxes.numel() // 4
    return total, max(total // max(len(boxes), 1), 1)


def _launch(kernel: Any, *arguments: Any) -> Tensor:
    """Run a kernel on as many boxes as its first integer says; return its output, the last tensor of its arguments."""
    out = [argument for argument in arguments if isinstance(argument, Tensor)][-1]
    total = next(argument for argument in arguments if isinstance(argument, int))
    with torch.cuda.device_of(out):
        kernel[(triton.cdiv(total, BLOCK),)](*arguments, BLOCK=BLOCK, **EXACT)
    return out
