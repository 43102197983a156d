"""The CUDA kernel of ops.mask_sampling.crop_and_resize: a program per region and block of its bins."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from lineage.ops.cuda.math_functions import clamp
from lineage.ops.layers.kernels import EXACT
from lineage.structures import Masks

BLOCK = 256  # bins per program


@triton.jit
def _read_bit(bits, x, y, columns, rows, inside):  # type: ignore[no-untyped-def]
    inside = inside & (x >= 0) & (x < columns) & (y >= 0) & (y < rows)
    return tl.load(bits + y * columns + x, mask=inside, other=0).to(tl.float32)


@triton.jit
def _count_samples(extent, size, ratio):  # type: ignore[no-untyped-def]
    """Return the side of a bin along one axis, its samples, and how often to loop: to the end if it is NaN."""
    side = tl.div_rn(extent, size)
    samples = clamp(tl.ceil(side), 1.0, ratio)
    return side, samples, tl.where(samples == samples, samples, ratio).to(tl.int32)


@triton.jit
def _place(start, bin, step, side, samples, limit, ALIGNED: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return the pixel before a sample along one axis, the weight of the pixel after it, and that of the sample."""
    step = tl.full((), 0.0, tl.float32) + step
    point = start + (bin.to(tl.float32) + tl.div_rn(step + 0.5, samples)) * side
    if ALIGNED:
        point = point - 0.5
    # beyond the centres of the outermost pixels the image is continued by its border
    point = clamp(point, 0.0, limit - 1.0)
    before = tl.floor(point)
    return before.to(tl.int32), point - before, tl.div_rn(tl.where(step < samples, 1.0, 0.0), samples)


@triton.jit(do_not_specialize=["regions", "slots", "size", "ratio"])
def _crop(bits, offsets, windows, boxes, matched, sizes, out, regions, slots, size, ratio, ALIGNED: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip  # noqa: E501
    region = tl.program_id(0).to(tl.int64)
    image = region // regions
    cell = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    exists = cell < size * size
    # 1. the window of the region's mask
    slot = image * slots + tl.load(matched + region)
    bits += tl.load(offsets + slot)
    left, top = tl.load(windows + slot * 4).to(tl.int32), tl.load(windows + slot * 4 + 1).to(tl.int32)
    columns, rows = tl.load(windows + slot * 4 + 2).to(tl.int32), tl.load(windows + slot * 4 + 3).to(tl.int32)
    # 2. the samples of a bin
    x1, y1 = tl.load(boxes + region * 4), tl.load(boxes + region * 4 + 1)
    width, height = tl.load(boxes + region * 4 + 2) - x1, tl.load(boxes + region * 4 + 3) - y1
    if not ALIGNED:
        width, height = clamp(width, 1.0, float("inf")), clamp(height, 1.0, float("inf"))
    side_x, samples_x, count_x = _count_samples(width, size.to(tl.float32), ratio.to(tl.float32))
    side_y, samples_y, count_y = _count_samples(height, size.to(tl.float32), ratio.to(tl.float32))
    limit_y, limit_x = tl.load(sizes + image * 2), tl.load(sizes + image * 2 + 1)
    # 3. their sum
    total = tl.zeros([BLOCK], tl.float32)
    for step_y in range(count_y):
        y, below, weight_y = _place(y1, cell // size, step_y, side_y, samples_y, limit_y, ALIGNED)
        y -= top
        for step_x in range(count_x):
            x, right, weight_x = _place(x1, cell % size, step_x, side_x, samples_x, limit_x, ALIGNED)
            x -= left
            upper = _read_bit(bits, x, y, columns, rows, exists) * (1 - right)
            upper += _read_bit(bits, x + 1, y, columns, rows, exists) * right
            lower = _read_bit(bits, x, y + 1, columns, rows, exists) * (1 - right)
            lower += _read_bit(bits, x + 1, y + 1, columns, rows, exists) * right
            total += (upper * (1 - below) + lower * below) * weight_y * weight_x
    tl.store(out + region * size * size + cell, total, mask=exists)


def crop_and_resize(
    masks: Masks, boxes: Tensor, matched_idx: Tensor, sizes: Tensor, size: int, sampling_ratio: int, aligned: bool
) -> Tensor:
    """Return mask means in bins: boxes [B, P, 4], matched_idx [B, P], sizes [B, 2] -> [B, P, size, size] in 0..1."""
    images, regions = matched_idx.shape
    boxes, matched_idx, sizes = boxes.contiguous(), matched_idx.contiguous(), sizes.contiguous()
    windows, offsets = masks.windows.contiguous(), masks.offsets.contiguous()
    out = torch.empty(images, regions, size, size, device=boxes.device)
    shape = regions, offsets.shape[1], size, sampling_ratio
    with torch.cuda.device_of(boxes):
        grid = images * regions, triton.cdiv(size * size, BLOCK)
        inputs = masks.bits, offsets, windows, boxes, matched_idx, sizes
        _crop[grid](*inputs, out, *shape, ALIGNED=aligned, BLOCK=BLOCK, **EXACT)
    return out
