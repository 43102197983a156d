"""The CUDA kernels of convolution.py, over maps in channels_last. Tests run them under Triton's interpreter too."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from lineage.ops.layers.filters import FrozenNorm
from lineage.ops.layers.kernels import FUSED

BLOCK = 2048  # values per program
ROWS = 16  # pixels that a program of the bias sum reads at once
PROGRAMS = 512  # of the bias sum: each adds up an equal share of the pixels; an H100 runs them at once
SIDE_BY_SIDE = 256  # channels of a program, at most, where maps are read as pixels
PARTS, COLUMNS = 256, 16  # rows and columns of partial sums that a program reads at once


@triton.jit
def _finish(y, bias, shortcut, out, total, C, BIAS: tl.constexpr, SHORTCUT: tl.constexpr, RELU: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip  # noqa: E501
    index = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = index < total
    value = tl.load(y + index, mask=inside).to(tl.float32)
    if BIAS:
        value += tl.load(bias + index % C, mask=inside).to(tl.float32)
    if SHORTCUT:
        value += tl.load(shortcut + index, mask=inside).to(tl.float32)
    if RELU:
        value = tl.where(value < 0, 0.0, value)  # lets NaN through, as torch's relu
    tl.store(out + index, value.to(out.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["pixels", "H", "W"])
def _add_window(sums, touched, other, out, pixels, H, W, C, images, rows, columns, PIXELS: tl.constexpr, CHANNELS: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip  # noqa: E501
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    inside = (pixel < pixels)[:, None] & (channel < C)[None, :]
    place = (pixel // (H * W)).to(tl.int64) * images + pixel // W % H * rows + pixel % W * columns
    index = pixel.to(tl.int64)[:, None] * C + channel[None, :]
    value = tl.load(other + place[:, None] + channel[None, :], mask=inside).to(tl.float32)
    if touched is not None:
        is_touched = tl.load(touched + pixel, mask=pixel < pixels, other=0) != 0
        value += tl.load(sums + index, mask=inside & is_touched[:, None], other=0.0)
    else:
        value += tl.load(sums + index, mask=inside)
    tl.store(out + index, value.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _mask(grad, second, third, out, result, total, ADDENDS: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    index = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = index < total
    value = tl.load(grad + index, mask=inside).to(tl.float32)
    if ADDENDS > 0:
        value += tl.load(second + index, mask=inside).to(tl.float32)
    if ADDENDS > 1:
        value += tl.load(third + index, mask=inside).to(tl.float32)
    value = tl.where(tl.load(out + index, mask=inside).to(tl.float32) > 0, value, 0.0)
    tl.store(result + index, value.to(result.dtype.element_ty), mask=inside)


@triton.jit
def _mask_and_sum(grad, out, result, sums, pixels, share, C, RELU: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip  # noqa: E501
    part = tl.program_id(0)
    channel = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    first = part.to(tl.int64) * share
    total = tl.zeros([ROWS, WIDTH], tl.float32)  # reduced once, after the loop
    for start in range(0, share, ROWS):
        row = first + start + tl.arange(0, ROWS)
        inside = (row < pixels)[:, None] & (start + tl.arange(0, ROWS) < share)[:, None] & (channel < C)[None, :]
        index = row[:, None] * C + channel[None, :]
        value = tl.load(grad + index, mask=inside, other=0.0)
        if RELU:
            value = tl.where(tl.load(out + index, mask=inside, other=0.0).to(tl.float32) > 0, value, 0.0)
            tl.store(result + index, value.to(result.dtype.element_ty), mask=inside)
        total += value.to(tl.float32)
    tl.store(sums + part * C + channel, tl.sum(total, 0), mask=channel < C)


@triton.jit
def _sum_rows(parts, sums, rows, C, PARTS: tl.constexpr, COLUMNS: tl.constexpr):  # type: ignore[no-untyped-def]
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    total = tl.zeros([PARTS, COLUMNS], tl.float32)
    for start in range(0, rows, PARTS):
        row = start + tl.arange(0, PARTS)
        inside = (row < rows)[:, None] & (column < C)[None, :]
        total += tl.load(parts + row[:, None] * C + column[None, :], mask=inside, other=0.0)
    tl.store(sums + column, tl.sum(total, 0), mask=column < C)


@triton.jit
def _enlarge_and_add(y, bias, coarse, out, total, W, C, BIAS: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip
    index = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = index < total
    channel, pixel = index % C, index // C
    column, line = pixel % W, pixel // W  # lines of all images, one after the other; each has an even number
    source = ((line // 2) * (W // 2) + column // 2) * C + channel
    value = tl.load(y + index, mask=inside).to(tl.float32) + tl.load(coarse + source, mask=inside).to(tl.float32)
    if BIAS:
        value += tl.load(bias + channel, mask=inside).to(tl.float32)
    tl.store(out + index, value.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _sum_quads(grad, out, total, W, C, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    index = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)  # of the coarse map, W pixels wide
    inside = index < total
    channel, pixel = index % C, index // C
    corner = ((pixel // W) * 2 * (2 * W) + (pixel % W) * 2) * C + channel
    value = tl.load(grad + corner, mask=inside).to(tl.float32) + tl.load(grad + corner + C, mask=inside).to(tl.float32)
    below = corner + 2 * W * C
    value += tl.load(grad + below, mask=inside).to(tl.float32) + tl.load(grad + below + C, mask=inside).to(tl.float32)
    tl.store(out + index, value.to(out.dtype.element_ty), mask=inside)


def finish(y: Tensor, bias: Tensor | None, shortcut: Tensor | None, relu: bool) -> Tensor:
    """Compute relu(y + bias + shortcut): y [B, C, H, W] in channels_last, bias [C] of any float type."""
    out = torch.empty_like(y)
    if shortcut is not None:
        shortcut = shortcut.to(y.dtype).contiguous(memory_format=torch.channels_last)
    flags = {"BIAS": bias is not None, "SHORTCUT": shortcut is not None, "RELU": relu}
    grid = (triton.cdiv(y.numel(), BLOCK),)
    _finish[grid](y, bias, shortcut, out, y.numel(), y.shape[1], **flags, BLOCK=BLOCK, **FUSED)
    return out


def add(sums: Tensor, other: Tensor, touched: Tensor | None = None) -> Tensor:
    """Compute sums + other in float32, rounded once to the type of `other`: [B, C, H, W], `sums` in channels_last.

    other: with channels that lie side by side it is read where it is, such as a window of a larger map.
    touched [B * H * W] uint8: where it is 0, the sums are, and need not be read.
    """
    out = torch.empty_like(sums, dtype=other.dtype)
    batch, channels, height, width = out.shape
    if other.stride(1) != 1:
        other = other.contiguous(memory_format=torch.channels_last)
    images, _, rows, columns = other.stride()
    pixels = batch * height * width
    block = min(triton.next_power_of_2(channels), SIDE_BY_SIDE)
    grid = (triton.cdiv(pixels, BLOCK // block), triton.cdiv(channels, block))
    sizes = (pixels, height, width, channels, images, rows, columns)
    _add_window[grid](sums, touched, other, out, *sizes, PIXELS=BLOCK // block, CHANNELS=block, **FUSED)
    return out


def finish_backward(
    grad: Tensor, out: Tensor | None, needs_bias: bool, others: Sequence[Tensor] = ()
) -> tuple[Tensor, Tensor]:
    """Return the gradients of y and, if `needs_bias`, of the bias (float32).

    out: result of the ReLU, None without one. others: gradients of further readers of it, at most two, added first.
    """
    grad = grad.contiguous(memory_format=torch.channels_last)
    if needs_bias or out is None:
        for other in others:
            grad = grad + other
    if not needs_bias:
        return (grad if out is None else _mask_sum(grad, out, others)), grad
    channels = grad.shape[1]
    pixels = grad.numel() // channels
    share = triton.cdiv(triton.cdiv(pixels, PROGRAMS), ROWS) * ROWS
    parts = triton.cdiv(pixels, share)
    width = min(triton.next_power_of_2(channels), SIDE_BY_SIDE)
    result = grad if out is None else torch.empty_like(grad)
    sums = torch.empty(parts, channels, dtype=torch.float32, device=grad.device)
    grid = (parts, triton.cdiv(channels, width))
    _mask_and_sum[grid](
        grad, out, result, sums, pixels, share, channels,
        RELU=out is not None, ROWS=ROWS, WIDTH=width, num_warps=4, **FUSED,
    )  # fmt: skip
    return result, sum_rows(sums)


def _mask_sum(grad: Tensor, out: Tensor, others: Sequence[Tensor]) -> Tensor:
    """Return the sum of gradients where `out` is positive, 0 elsewhere."""
    result = torch.empty_like(grad)
    addends = [other.contiguous(memory_format=torch.channels_last) for other in others]
    second, third = [*addends, grad, grad][:2]  # the kernel reads as many as there are
    blocks = triton.cdiv(grad.numel(), BLOCK)
    _mask[(blocks,)](grad, second, third, out, result, grad.numel(), ADDENDS=len(others), BLOCK=BLOCK, **FUSED)
    return result


def sum_rows(parts: Tensor) -> Tensor:
    """Sum rows of partial sums, always in the same order: [rows, C] -> [C], float32"""
    rows, channels = parts.shape
    sums = parts.new_empty(channels)
    grid = (triton.cdiv(channels, COLUMNS),)
    _sum_rows[grid](parts, sums, rows, channels, PARTS=PARTS, COLUMNS=COLUMNS, num_warps=4, **FUSED)
    return sums


def enlarge_and_add(y: Tensor, bias: Tensor | None, coarse: Tensor) -> Tensor:
    """Compute y + bias + coarse enlarged twice: y [B, C, 2h, 2w] in channels_last, coarse [B, C, h, w]."""
    out = torch.empty_like(y)
    coarse = coarse.contiguous(memory_format=torch.channels_last)
    channels, width = y.shape[1], y.shape[3]
    grid = (triton.cdiv(y.numel(), BLOCK),)
    flags = {"BIAS": bias is not None}
    _enlarge_and_add[grid](y, bias, coarse, out, y.numel(), width, channels, **flags, BLOCK=BLOCK, **FUSED)
    return out


def sum_quads(grad: Tensor) -> Tensor:
    """Sum 2 x 2 pixels: [B, C, 2h, 2w] in channels_last -> [B, C, h, w] in channels_last"""
    batch, channels, height, width = grad.shape
    out = torch.empty(
        (batch, channels, height // 2, width // 2),
        dtype=grad.dtype,
        device=grad.device,
        memory_format=torch.channels_last,
    )
    grid = (triton.cdiv(out.numel(), BLOCK),)
    _sum_quads[grid](grad, out, out.numel(), width // 2, channels, BLOCK=BLOCK, **FUSED)
    return out


@triton.jit
def _fold(weight, gamma, beta, mean, variance, out, shift, total, size, eps, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)  # in 32 bits: a division in 64 takes longer than the rest
    inside = index < total
    filter = index // size
    scale = tl.load(gamma + filter, mask=inside) * tl.rsqrt(tl.load(variance + filter, mask=inside, other=1.0) + eps)
    value = tl.load(weight + index, mask=inside).to(tl.float32) * scale
    tl.store(out + index, value.to(out.dtype.element_ty), mask=inside)
    is_first = inside & (index == filter * size)
    moved = tl.load(beta + filter, mask=is_first) - tl.load(mean + filter, mask=is_first) * scale
    tl.store(shift + filter, moved.to(shift.dtype.element_ty), mask=is_first)


def fold_norm(weight: Tensor, norm: FrozenNorm, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return weight [O, I, h, w] times the scale of a norm, in the same layout, and the shift [O], both in `dtype`."""
    out = torch.empty_like(weight, dtype=dtype)
    total, filters = weight.numel(), len(weight)
    shift = weight.new_empty(filters, dtype=dtype)
    constants = (field.contiguous() for field in norm[:4])
    _fold[(triton.cdiv(total, BLOCK),)](
        weight, *constants, out, shift, total, total // filters, norm.eps, BLOCK=BLOCK, **FUSED
    )
    return out, shift
