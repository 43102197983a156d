"""Triton kernels of RoIAlign on a pyramid, forward and backward; sums are in float32 whatever the maps' type.

Forward: one warp computes a row of bins for 64 channels. Backward: samples share pixels (those of 14 x 14 bins read
3,136 pixels, but only some hundreds different ones), so a program takes a row of the region's pixels, sums in registers
what all samples give to it, and adds every pixel to memory once. Tests run both on the CPU through Triton's interpreter
and compare them with torchvision, level by level.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from lineage.ops.layers.kernels import FUSED
from lineage.ops.levels_cuda import SIZES, Grid, channel_block, first_pixel, grid_of, pointers, select

ROWS = 16  # programs of the backward pass that share the pixel rows of a region
CHANNELS = 64  # of a program of the forward pass, at most: it waits for the loads of many bins at once


@triton.jit
def _axis(low, high, SIZE: tl.constexpr, RATIO: tl.constexpr, ALIGNED: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return start, side and samples of the bins along an axis; RATIO 0: as many samples as a bin covers pixels."""
    start = low
    extent = high - low
    if ALIGNED:
        start = start - 0.5
    else:
        extent = tl.maximum(extent, 1.0)
    side = extent / SIZE
    samples = tl.ceil(side).to(tl.int32)
    if RATIO > 0:
        samples = samples * 0 + RATIO
    return start, side, samples


@triton.jit
def _bins(roi, SIZE: tl.constexpr, RATIO: tl.constexpr, ALIGNED: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return the image of a region, then start, side and samples of its bins along x and along y."""
    x, width, nx = _axis(tl.load(roi + 1), tl.load(roi + 3), SIZE, RATIO, ALIGNED)
    y, height, ny = _axis(tl.load(roi + 2), tl.load(roi + 4), SIZE, RATIO, ALIGNED)
    return tl.load(roi).to(tl.int64), x, width, nx, y, height, ny


@triton.jit
def _sample(start, side, place, index, samples, limit):  # type: ignore[no-untyped-def]
    """Return the position of a sample, clamped to the map, and 1; or 0 where it lies more than a pixel outside."""
    position = start + place * side + (index + 0.5) * side / samples
    inside = tl.where((position >= -1.0) & (position <= limit), 1.0, 0.0)
    return tl.minimum(tl.maximum(position, 0.0), limit - 1.0), inside


@triton.jit
def _bilinear(pixels, py, px, height, width, C, channel, exists):  # type: ignore[no-untyped-def]
    """Return the values at positions of one row: py, px [bins], of a block of channels -> [bins, channels]"""
    top, left = py.to(tl.int32), px.to(tl.int32)
    bottom, right = tl.minimum(top + 1, height - 1), tl.minimum(left + 1, width - 1)
    fy, fx = py - top, (px - left)[:, None]
    left, right = (left * C)[:, None] + channel[None, :], (right * C)[:, None] + channel[None, :]
    above, below = pixels + top * width * C, pixels + bottom * width * C
    nw = tl.load(above + left, mask=exists, other=0.0).to(tl.float32)
    ne = tl.load(above + right, mask=exists, other=0.0).to(tl.float32)
    sw = tl.load(below + left, mask=exists, other=0.0).to(tl.float32)
    se = tl.load(below + right, mask=exists, other=0.0).to(tl.float32)
    return (1 - fy) * ((1 - fx) * nw + fx * ne) + fy * ((1 - fx) * sw + fx * se)


@triton.jit(do_not_specialize=SIZES)
def _forward(  # type: ignore[no-untyped-def]
    p0, p1, p2, p3, p4, rois, levels, out,
    h0, w0, h1, w1, h2, w2, h3, w3, h4, w4, C,
    SIZE: tl.constexpr, RATIO: tl.constexpr, ALIGNED: tl.constexpr, BINS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    region = tl.program_id(0).to(tl.int64)
    by = tl.program_id(1)
    channel = tl.program_id(2) * BLOCK + tl.arange(0, BLOCK)
    # 1. the region's map and its bins
    level = tl.load(levels + region).to(tl.int32)
    height, width = select(level, h0, h1, h2, h3, h4), select(level, w0, w1, w2, w3, w4)
    image, x, bin_width, nx, y, bin_height, ny = _bins(rois + region * 5, SIZE, RATIO, ALIGNED)
    pixels = select(level, p0, p1, p2, p3, p4) + image * height * width * C
    # 2. all bins of the row at once, so that their loads wait together: the mean of their samples, four pixels each
    bx = tl.arange(0, BINS)
    total = tl.zeros([BINS, BLOCK], tl.float32)
    exists = (bx < SIZE)[:, None] & (channel < C)[None, :]
    if RATIO > 0:
        for iy in tl.static_range(RATIO):
            py, valid_y = _sample(y, bin_height, by, iy, ny, height)
            for ix in tl.static_range(RATIO):
                px, valid_x = _sample(x, bin_width, bx, ix, nx, width)
                total += (valid_y * valid_x)[:, None] * _bilinear(pixels, py, px, height, width, C, channel, exists)
    else:
        for iy in range(ny):
            py, valid_y = _sample(y, bin_height, by, iy, ny, height)
            for ix in range(nx):
                px, valid_x = _sample(x, bin_width, bx, ix, nx, width)
                total += (valid_y * valid_x)[:, None] * _bilinear(pixels, py, px, height, width, C, channel, exists)
    place = (((region * SIZE + by) * SIZE + bx) * C)[:, None] + channel[None, :]
    tl.store(out + place, (total / tl.maximum(nx * ny, 1)).to(out.dtype.element_ty), mask=exists)


@triton.jit
def _rows(start, side, samples, limit, SIZE: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return the first and the last row of pixels that the samples of a region touch; its side may be negative."""
    begin, _ = _sample(start, side, 0, 0, samples, limit)
    end, _ = _sample(start, side, SIZE - 1, samples - 1, samples, limit)
    return tl.minimum(begin, end).to(tl.int32), tl.minimum(tl.maximum(begin, end).to(tl.int32) + 1, limit - 1)


@triton.jit
def _bins_at(start, side, pixel, SIZE: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return the first and the last bin whose samples may touch a row of pixels (not all bins between need to)."""
    wide = side > 0.05  # of narrower bins, rounding would matter: all are tried
    low = tl.floor((pixel - 1 - start) / side - 0.01)
    high = tl.floor((pixel + 1 - start) / side + 0.01)
    first = tl.where(wide, tl.minimum(tl.maximum(low, 0.0), SIZE - 1.0), 0.0)
    last = tl.where(wide, tl.minimum(tl.maximum(high, 0.0), SIZE - 1.0), SIZE - 1.0)
    return first.to(tl.int32), last.to(tl.int32)


@triton.jit
def _weight(start, side, place, samples, limit, pixel):  # type: ignore[no-untyped-def]
    """Return the sum of the bilinear weights of a pixel row in the samples of a bin."""
    weight = 0.0
    for index in range(samples):
        position, inside = _sample(start, side, place, index, samples, limit)
        weight += inside * tl.maximum(1.0 - tl.abs(position - pixel), 0.0)
    return weight


@triton.jit
def _add(line, touched, column, value, width, C, exists):  # type: ignore[no-untyped-def]
    """Add what a pixel of a row collected, and mark it; a column outside the map collected nothing."""
    if (column >= 0) & (column < width):
        tl.atomic_add(line + column * C, value, mask=exists, sem="relaxed")
        if touched is not None:
            tl.store(touched + column, 1)


@triton.jit
def _collect(grad, row, channel, y, bin_height, ny, nx, height, factor, C, SIZE: tl.constexpr, BINS: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip
    """Return what the bins of each column give to a row of pixels, [BINS, channels]; their loads wait together."""
    bins, first_last = tl.arange(0, BINS), _bins_at(y, bin_height, row, SIZE)
    is_bin = (bins < SIZE)[:, None] & (channel < C)[None, :]
    columns = tl.zeros([BINS, channel.shape[0]], tl.float32)
    for by in range(first_last[0], first_last[1] + 1):
        weight = factor * _weight(y, bin_height, by, ny, height, row) / tl.maximum(nx * ny, 1)
        place = ((by * SIZE + bins) * C)[:, None] + channel[None, :]
        columns += weight * tl.load(grad + place, mask=is_bin, other=0.0).to(tl.float32)
    return columns


@triton.jit(do_not_specialize=[*SIZES, "factor"])
def _backward(  # type: ignore[no-untyped-def]
    grad, rois, levels, sums, touched,
    h0, w0, h1, w1, h2, w2, h3, w3, h4, w4, B, factor, C,
    SIZE: tl.constexpr, RATIO: tl.constexpr, ALIGNED: tl.constexpr, BINS: tl.constexpr, BLOCK: tl.constexpr,
    ROWS: tl.constexpr,
):  # fmt: skip
    region = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(2) * BLOCK + tl.arange(0, BLOCK)
    # 1. the region's map and its bins, as in the forward pass
    level = tl.load(levels + region).to(tl.int32)
    height, width = select(level, h0, h1, h2, h3, h4), select(level, w0, w1, w2, w3, w4)
    image, x, bin_width, nx, y, bin_height, ny = _bins(rois + region * 5, SIZE, RATIO, ALIGNED)
    start = first_pixel(level, image, B, h0, w0, h1, w1, h2, w2, h3, w3, h4, w4)
    grad += region * SIZE * SIZE * C
    # 2. this program takes every ROWS-th of the rows of pixels that its samples touch
    first_row, last_row = _rows(y, bin_height, ny, height, SIZE)
    for row in range(first_row + tl.program_id(1), last_row + 1, ROWS):
        columns = _collect(grad, row, channel, y, bin_height, ny, nx, height, factor, C, SIZE, BINS)
        line = sums + (start + row * width) * C + channel
        marks = touched
        if touched is not None:
            marks += start + row * width
        # 3. walk along the row: `here` collects what the pixel `column` gets, `beside` what its right neighbour gets
        column = -2
        here = tl.zeros([BLOCK], tl.float32)
        beside = tl.zeros([BLOCK], tl.float32)
        for bx in tl.static_range(SIZE):
            is_column = (tl.arange(0, BINS) == bx)[:, None]
            gradient = tl.sum(tl.where(is_column, columns, 0.0), 0)  # a choice of registers, which costs nothing
            for ix in range(nx):
                px, inside = _sample(x, bin_width, bx, ix, nx, width)
                left = px.to(tl.int32)
                if left != column:
                    _add(line, marks, column, here, width, C, channel < C)
                    if left != column + 1:
                        _add(line, marks, column + 1, beside, width, C, channel < C)
                    here = tl.where(left == column + 1, beside, 0.0)
                    beside = tl.zeros([BLOCK], tl.float32)
                    column = left
                here += inside * (1 - (px - left)) * gradient
                beside += inside * (px - left) * gradient
        _add(line, marks, column, here, width, C, channel < C)
        _add(line, marks, column + 1, beside, width, C, channel < C)


def align(maps: Sequence[Tensor], rois: Tensor, level: Tensor, size: int, sampling_ratio: int, aligned: bool) -> Tensor:
    """Pool regions [R, 5] from maps [B, C, H, W] -> [R, C, size, size], channels last in memory."""
    channels = maps[0].shape[1]
    block = min(channel_block(channels), CHANNELS)
    grid = grid_of(maps)
    out = maps[0].new_empty(len(rois), size, size, channels)
    if out.numel():
        with torch.cuda.device_of(out):
            _forward[(len(rois), size, triton.cdiv(channels, block))](
                *pointers(maps), rois.float().contiguous(), level.contiguous(), out,
                *grid.arguments, channels,
                SIZE=size, RATIO=sampling_ratio, ALIGNED=aligned, BINS=triton.next_power_of_2(size), BLOCK=block,
                num_warps=1, **FUSED,
            )  # fmt: skip
    return out.permute(0, 3, 1, 2)


def align_backward(
    grad: Tensor, rois: Tensor, level: Tensor, images: int, sides: Sequence[int], sampling_ratio: int, aligned: bool
) -> Tensor:
    """Return the maps' gradient as [pixels of all levels, C] of `grad`'s type; sides: h0, w0, h1, w1, ..."""
    grid = Grid(images, tuple(zip(sides[::2], sides[1::2], strict=True)))
    sums = torch.zeros(grid.pixels, grad.shape[1], device=grad.device)
    add_gradient(sums, grad, rois, level, images, sides, sampling_ratio, aligned)
    return sums.to(grad.dtype)


def add_gradient(
    sums: Tensor, grad: Tensor, rois: Tensor, level: Tensor, images: int, sides: Sequence[int], sampling_ratio: int,
    aligned: bool, factor: float = 1.0, touched: Tensor | None = None,
) -> None:  # fmt: skip
    """Add `factor` times the maps' gradient to sums [pixels of these levels, C], float32; it may hold more levels.

    touched [pixels] uint8: becomes 1 where something was added.
    """
    channels, size = grad.shape[1:3]
    block = channel_block(channels)
    grid = Grid(images, tuple(zip(sides[::2], sides[1::2], strict=True)))
    if grad.numel():
        with torch.cuda.device_of(grad):
            _backward[(len(rois), ROWS, triton.cdiv(channels, block))](
                grad.permute(0, 2, 3, 1).contiguous(), rois.float().contiguous(), level.contiguous(), sums, touched,
                *grid.arguments, grid.images, factor, channels,
                SIZE=size, RATIO=sampling_ratio, ALIGNED=aligned, BINS=triton.next_power_of_2(size), BLOCK=block,
                ROWS=ROWS, num_warps=1, **FUSED,
            )  # fmt: skip
