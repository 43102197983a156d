"""Triton kernels of RoIPool on a pyramid: a warp computes a row of bins for 256 channels.

The forward pass notes the pixel of each maximum; the backward pass adds each bin's gradient to that pixel, in float32.
Tests run both on the CPU through Triton's interpreter and compare them with torchvision, level by level.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from lineage.ops.layers.kernels import FUSED
from lineage.ops.levels_cuda import SIZES, channel_block, first_pixel, grid_of, pointers, select


@triton.jit
def _round(value):  # type: ignore[no-untyped-def]
    """Round half away from zero, as C does."""
    size = tl.abs(value)
    whole = tl.floor(size)
    whole = tl.where(size - whole >= 0.5, whole + 1, whole)
    return tl.where(value < 0, -whole, whole)


@triton.jit
def _edges(start, side, place, limit):  # type: ignore[no-untyped-def]
    """Return the first pixel of a bin and the one behind its last, inside the map."""
    first = tl.minimum(tl.maximum(tl.floor(place * side) + start, 0.0), limit)
    last = tl.minimum(tl.maximum(tl.ceil((place + 1) * side) + start, 0.0), limit)
    return first.to(tl.int32), last.to(tl.int32)


@triton.jit(do_not_specialize=SIZES)
def _forward(  # type: ignore[no-untyped-def]
    p0, p1, p2, p3, p4, rois, levels, out, pixel,
    h0, w0, h1, w1, h2, w2, h3, w3, h4, w4, B, C,
    SIZE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    region = tl.program_id(0).to(tl.int64)
    by = tl.program_id(1)
    channel = tl.program_id(2) * BLOCK + tl.arange(0, BLOCK)
    exists = channel < C
    # 1. the region's map and its bins
    level = tl.load(levels + region).to(tl.int32)
    height, width = select(level, h0, h1, h2, h3, h4), select(level, w0, w1, w2, w3, w4)
    image = tl.load(rois + region * 5).to(tl.int64)
    pixels = select(level, p0, p1, p2, p3, p4) + image * height * width * C
    first = first_pixel(level, image, B, h0, w0, h1, w1, h2, w2, h3, w3, h4, w4).to(tl.int32)
    x, y = _round(tl.load(rois + region * 5 + 1)), _round(tl.load(rois + region * 5 + 2))
    right, bottom = _round(tl.load(rois + region * 5 + 3)), _round(tl.load(rois + region * 5 + 4))
    # rounded as IEEE says: `/` is approximate on a GPU, and a side of 1.9999999 pixels moves the edges of bins
    bin_width = tl.div_rn(tl.maximum(right - x + 1, 1.0), SIZE * 1.0)
    bin_height = tl.div_rn(tl.maximum(bottom - y + 1, 1.0), SIZE * 1.0)
    # 2. each bin of the row: the largest pixel, 0 without any
    top, below = _edges(y, bin_height, by, height)
    for bx in range(SIZE):
        left, beside = _edges(x, bin_width, bx, width)
        largest = tl.full([BLOCK], -3.4028234663852886e38, tl.float32)
        place = tl.full([BLOCK], -1, tl.int32)
        for row in range(top, below):
            for column in range(left, beside):
                index = row * width + column
                value = tl.load(pixels + index * C + channel, mask=exists, other=0.0).to(tl.float32)
                larger = value > largest
                largest = tl.where(larger, value, largest)
                place = tl.where(larger, first + index, place)
        largest = tl.where((below > top) & (beside > left), largest, 0.0)
        target = ((region * SIZE + by) * SIZE + bx) * C + channel
        tl.store(out + target, largest.to(out.dtype.element_ty), mask=exists)
        tl.store(pixel + target, place, mask=exists)


@triton.jit
def _backward(grad, pixel, sums, C, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    row = tl.program_id(0).to(tl.int64) * C
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    exists = channel < C
    value = tl.load(grad + row + channel, mask=exists, other=0.0).to(tl.float32)
    place = tl.load(pixel + row + channel, mask=exists, other=-1).to(tl.int64)
    tl.atomic_add(sums + place * C + channel, value, mask=exists & (place >= 0) & (value != 0), sem="relaxed")


def pool(maps: Sequence[Tensor], rois: Tensor, level: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Pool regions [R, 5] from maps [B, C, H, W] -> [R, C, size, size], and the pixel of each maximum."""
    channels, block = maps[0].shape[1], channel_block(maps[0].shape[1])
    grid = grid_of(maps)
    out = maps[0].new_empty(len(rois), size, size, channels)
    pixel = torch.empty_like(out, dtype=torch.int32)
    if out.numel():
        with torch.cuda.device_of(out):
            _forward[(len(rois), size, triton.cdiv(channels, block))](
                *pointers(maps), rois.float().contiguous(), level.contiguous(), out, pixel,
                *grid.arguments, grid.images, channels,
                SIZE=size, BLOCK=block, num_warps=1, **FUSED,
            )  # fmt: skip
    return out.permute(0, 3, 1, 2), pixel.permute(0, 3, 1, 2)


def pool_backward(grad: Tensor, pixel: Tensor, pixels: int) -> Tensor:
    """Return the maps' gradient as [pixels of all levels, C] of `grad`'s type; grad, pixel [R, C, size, size]."""
    sums = torch.zeros(pixels, grad.shape[1], device=grad.device)
    add_gradient(sums, grad, pixel)
    return sums.to(grad.dtype)


def add_gradient(sums: Tensor, grad: Tensor, pixel: Tensor) -> None:
    """Add the maps' gradient to sums [pixels of all levels, C] in float32; grad, pixel [R, C, size, size]."""
    channels, block = grad.shape[1], channel_block(grad.shape[1])
    if grad.numel():
        with torch.cuda.device_of(grad):
            _backward[(grad.numel() // channels, triton.cdiv(channels, block))](
                grad.permute(0, 2, 3, 1).contiguous(), pixel.permute(0, 2, 3, 1).contiguous(), sums, channels,
                BLOCK=block, num_warps=1, **FUSED,
            )  # fmt: skip
