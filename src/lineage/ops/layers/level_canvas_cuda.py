"""The CUDA kernels of level_canvas.py: zeros between the levels of a canvas, and all levels one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from lineage.ops.layers.kernels import FUSED

PIXELS, CHANNELS = 32, 256  # of one program
PLACES = 4
SIZES = ["pixels", "total", "first", "H", "W", "C"]
NUMBERS = [*SIZES, "h0", "w0", "h1", "w1", "h2", "w2", "h3", "w3"]  # that no kernel is compiled anew for


@triton.jit
def _is_inside(row, column, top, left, height, width):  # type: ignore[no-untyped-def]
    return (row >= top) & (row < top + height) & (column >= left) & (column < left + width)


@triton.jit(do_not_specialize=NUMBERS)
def _clear(canvas, pixels, H, W, C, image_stride, channel_stride, row_stride, column_stride, h0, w0, h1, w1, h2, w2, h3, w3, PIXELS: tl.constexpr, CHANNELS: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip  # noqa: E501
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    image, row, column = pixel // (H * W), pixel // W % H, pixel % W
    # the first level stands left, the others are stacked right of it; those that do not exist have no height
    is_level = _is_inside(row, column, 0, 0, h0, w0)
    is_level |= _is_inside(row, column, 0, w0 + 1, h1, w1)
    is_level |= _is_inside(row, column, h1 + 1, w0 + 1, h2, w2)
    is_level |= _is_inside(row, column, h1 + h2 + 2, w0 + 1, h3, w3)
    place = image.to(tl.int64) * image_stride + row * row_stride + column * column_stride
    index = place[:, None] + channel[None, :] * channel_stride
    zeros = tl.zeros([PIXELS, CHANNELS], canvas.dtype.element_ty)
    tl.store(canvas + index, zeros, mask=((pixel < pixels) & ~is_level)[:, None] & (channel < C)[None, :])


@triton.jit
def _place(W, C, row_stride, column_stride, total, first, PIXELS: tl.constexpr, CHANNELS: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return the channels of a program, and the index of its values in a level and in all pixels, and which exist."""
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    channel = tl.program_id(2) * CHANNELS + tl.arange(0, CHANNELS)
    in_level = (pixel // W * row_stride + pixel % W * column_stride)[:, None] + channel[None, :]
    in_all = (first + pixel)[:, None] * C + channel[None, :]
    return channel, in_level, in_all, (pixel < total)[:, None] & (channel < C)[None, :]


@triton.jit(do_not_specialize=SIZES)
def _join(level, bias, outputs, pixels, W, C, row_stride, column_stride, image_stride, total, first, PIXELS: tl.constexpr, CHANNELS: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip  # noqa: E501
    image = tl.program_id(1).to(tl.int64)
    channel, source, target, exists = _place(W, C, row_stride, column_stride, total, first, PIXELS, CHANNELS)
    value = tl.load(level + image * image_stride + source, mask=exists).to(tl.float32)
    value += tl.load(bias + channel, mask=channel < C).to(tl.float32)[None, :]
    tl.store(outputs + image * pixels * C + target, value, mask=exists)


@triton.jit(do_not_specialize=SIZES)
def _part(level, grad, pixels, W, C, row_stride, column_stride, image_stride, total, first, PIXELS: tl.constexpr, CHANNELS: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip  # noqa: E501
    image = tl.program_id(1).to(tl.int64)
    _, target, source, exists = _place(W, C, row_stride, column_stride, total, first, PIXELS, CHANNELS)
    value = tl.load(grad + image * pixels * C + source, mask=exists)
    tl.store(level + image * image_stride + target, value.to(level.dtype.element_ty), mask=exists)


def clear_gaps(canvas: Tensor, sides: Sequence[tuple[int, int]]) -> None:
    """Write zeros to the pixels of a canvas [B, C, H, W] that belong to no level, of two to four (height, width)."""
    batch, channels, height, width = canvas.shape
    lengths = [length for side in sides for length in side] + [0, 0] * (PLACES - len(sides))
    pixels, block = batch * height * width, min(triton.next_power_of_2(channels), CHANNELS)
    grid = (triton.cdiv(pixels, PIXELS), triton.cdiv(channels, block))
    numbers = (pixels, height, width, channels, *canvas.stride(), *lengths)
    _clear[grid](canvas, *numbers, PIXELS=PIXELS, CHANNELS=block, **FUSED)


def join(levels: Sequence[Tensor], bias: Tensor) -> Tensor:
    """Return level + bias of all levels [B, C, H_l, W_l] in channels_last, one after the other: [B, P, C] float32"""
    pixels = sum(level.shape[2] * level.shape[3] for level in levels)
    outputs = torch.empty(len(levels[0]), pixels, len(bias), dtype=torch.float32, device=bias.device)
    _launch(_join, levels, (bias, outputs), pixels)
    return outputs


def part(grad: Tensor, levels: Sequence[Tensor]) -> None:
    """Write the gradient [B, P, C] of all levels' pixels to each level, cast to its type."""
    _launch(_part, levels, (grad.contiguous(),), grad.shape[1])


def _launch(kernel: Any, levels: Sequence[Tensor], tensors: tuple[Tensor, ...], pixels: int) -> None:
    first = 0
    for level in levels:
        batch, channels, height, width = level.shape
        image_stride, channel_stride, row_stride, column_stride = level.stride()
        assert channel_stride == 1 or channels == 1, "levels are in channels_last"
        block = min(triton.next_power_of_2(channels), CHANNELS)
        grid = (triton.cdiv(height * width, PIXELS), batch, triton.cdiv(channels, block))
        numbers = (pixels, width, channels, row_stride, column_stride, image_stride, height * width, first)
        kernel[grid](level, *tensors, *numbers, PIXELS=PIXELS, CHANNELS=block, **FUSED)
        first += height * width
