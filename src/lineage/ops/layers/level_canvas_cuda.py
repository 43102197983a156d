"""The CUDA kernels of level_canvas.py: levels to a canvas and back, zeros between them, all levels' pixels in a row.

Each kernel goes over the pixels of a map in channels_last, a canvas or a level alone: a canvas of one level. The number
of channels is a constant of the kernel, so that sixteen bytes are read and written at a time where it allows.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from lineage.ops.layers.kernels import FUSED

PIXELS, CHANNELS = 16, 256  # that a program reads at once
PROGRAMS = 1024  # of a gradient, for each block of channels: each adds up an equal share of the pixels
PLACES = 4
SIDES = ["h0", "w0", "h1", "w1", "h2", "w2", "h3", "w3"]
NUMBERS = ["pixels", "H", "W", *SIDES]  # that no kernel is compiled anew for


@triton.jit
def _is_inside(row, column, top, left, height, width):  # type: ignore[no-untyped-def]
    return (row >= top) & (row < top + height) & (column >= left) & (column < left + width)


@triton.jit
def _split(pixel, H, W):  # type: ignore[no-untyped-def]
    """Return image, row and column of pixels of a map."""
    return pixel // (H * W), pixel // W % H, pixel % W


@triton.jit
def _locate(row, column, h0, w0, h1, w1, h2, w2, h3, w3):  # type: ignore[no-untyped-def]
    """Return the index of pixels of a canvas among those of its levels, level after level, or -1 between levels.

    The first level stands left, the others are stacked right of it; those that do not exist have no height.
    """
    left, end1 = w0 + 1, h0 * w0 + h1 * w1
    place = tl.where(_is_inside(row, column, 0, 0, h0, w0), row * w0 + column, -1)
    place = tl.where(_is_inside(row, column, 0, left, h1, w1), h0 * w0 + row * w1 + column - left, place)
    at2, at3 = row - (h1 + 1), row - (h1 + h2 + 2)
    place = tl.where(_is_inside(at2, column, 0, left, h2, w2), end1 + at2 * w2 + column - left, place)
    return tl.where(_is_inside(at3, column, 0, left, h3, w3), end1 + h2 * w2 + at3 * w3 + column - left, place)


@triton.jit(do_not_specialize=NUMBERS)
def _clear(canvas, pixels, H, W, image_stride, channel_stride, row_stride, column_stride, h0, w0, h1, w1, h2, w2, h3, w3, C: tl.constexpr, PIXELS: tl.constexpr, CHANNELS: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip  # noqa: E501
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    image, row, column = _split(pixel, H, W)
    is_gap = (pixel < pixels) & (_locate(row, column, h0, w0, h1, w1, h2, w2, h3, w3) < 0)
    place = image.to(tl.int64) * image_stride + row * row_stride + column * column_stride
    index = place[:, None] + channel[None, :] * channel_stride
    zeros = tl.zeros([PIXELS, CHANNELS], canvas.dtype.element_ty)
    tl.store(canvas + index, zeros, mask=is_gap[:, None] & (channel < C)[None, :])


@triton.jit
def _read(level, pixel, mask, channel, other, C: tl.constexpr):  # type: ignore[no-untyped-def]
    """Read those pixels of a level that `mask` has; those of `other` stay."""
    index = (pixel * C)[:, None] + channel[None, :]
    return tl.load(level + index, mask=mask[:, None] & (channel < C)[None, :], other=other)


@triton.jit(do_not_specialize=NUMBERS)
def _pack(canvas, level0, level1, level2, level3, pixels, H, W, h0, w0, h1, w1, h2, w2, h3, w3, C: tl.constexpr, PIXELS: tl.constexpr, CHANNELS: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip  # noqa: E501
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    image, row, column = _split(pixel, H, W)
    place = _locate(row, column, h0, w0, h1, w1, h2, w2, h3, w3)
    end0, end1, end2 = h0 * w0, h0 * w0 + h1 * w1, h0 * w0 + h1 * w1 + h2 * w2
    at0, at1 = image.to(tl.int64) * (h0 * w0) + place, image.to(tl.int64) * (h1 * w1) + place - end0
    at2, at3 = image.to(tl.int64) * (h2 * w2) + place - end1, image.to(tl.int64) * (h3 * w3) + place - end2
    is_level = (pixel < pixels) & (place >= 0)
    target = canvas + pixel.to(tl.int64) * C
    for start in range(0, C, CHANNELS):
        channel = start + tl.arange(0, CHANNELS)
        value = tl.zeros([PIXELS, CHANNELS], canvas.dtype.element_ty)
        value = _read(level0, at0, is_level & (place < end0), channel, value, C)
        value = _read(level1, at1, is_level & (place >= end0) & (place < end1), channel, value, C)
        value = _read(level2, at2, is_level & (place >= end1) & (place < end2), channel, value, C)
        value = _read(level3, at3, is_level & (place >= end2), channel, value, C)
        inside = (pixel < pixels)[:, None] & (channel < C)[None, :]
        tl.store(target[:, None] + channel[None, :], value, mask=inside)


@triton.jit(do_not_specialize=[*NUMBERS, "total", "first"])
def _join(canvas, bias, outputs, total, first, pixels, H, W, h0, w0, h1, w1, h2, w2, h3, w3, C: tl.constexpr, PIXELS: tl.constexpr, CHANNELS: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip  # noqa: E501
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    image, row, column = _split(pixel, H, W)
    place = _locate(row, column, h0, w0, h1, w1, h2, w2, h3, w3)
    exists = ((pixel < pixels) & (place >= 0))[:, None]
    source = canvas + pixel.to(tl.int64) * C
    target = outputs + (image.to(tl.int64) * total + first + place) * C
    for start in range(0, C, CHANNELS):
        channel = start + tl.arange(0, CHANNELS)
        inside = exists & (channel < C)[None, :]
        value = tl.load(source[:, None] + channel[None, :], mask=inside, other=0.0).to(tl.float32)
        value += tl.load(bias + channel, mask=channel < C, other=0.0).to(tl.float32)[None, :]
        tl.store(target[:, None] + channel[None, :], value.to(outputs.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=[*NUMBERS, "total", "first", "share"])
def _part(canvas, grad, sums, share, total, first, pixels, H, W, h0, w0, h1, w1, h2, w2, h3, w3, C: tl.constexpr, PIXELS: tl.constexpr, CHANNELS: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip  # noqa: E501
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)[None, :]
    added = tl.zeros([PIXELS, CHANNELS], tl.float32)  # reduced once, after the loop
    for start in range(0, share, PIXELS):
        pixel = tl.program_id(0) * share + start + tl.arange(0, PIXELS)
        image, row, column = _split(pixel, H, W)
        place = _locate(row, column, h0, w0, h1, w1, h2, w2, h3, w3)
        source = grad + (image.to(tl.int64) * total + first + place) * C
        inside = (pixel < pixels)[:, None] & (channel < C)
        value = tl.load(source[:, None] + channel, mask=inside & (place >= 0)[:, None], other=0.0)
        target = canvas + pixel.to(tl.int64) * C
        tl.store(target[:, None] + channel, value.to(canvas.dtype.element_ty), mask=inside)
        added += value.to(tl.float32)
    tl.store(sums + tl.program_id(0) * C + channel, tl.sum(added, 0)[None, :], mask=channel < C)


def clear_gaps(canvas: Tensor, sides: Sequence[tuple[int, int]]) -> None:
    """Write zeros to the pixels of a canvas [B, C, H, W] that belong to no level, of two to four (height, width)."""
    sizes, constants = _describe(canvas, sides)
    grid = (triton.cdiv(sizes[0], PIXELS), triton.cdiv(constants["C"], constants["CHANNELS"]))
    _clear[grid](canvas, *sizes[:3], *canvas.stride(), *sizes[3:], **constants, **FUSED)


def pack(canvas: Tensor, levels: Sequence[Tensor], sides: Sequence[tuple[int, int]]) -> None:
    """Write two to four levels [B, C, H_l, W_l] to a canvas, zeros between them; all are in channels_last."""
    sizes, constants = _describe(canvas, sides)
    maps = [*levels] + [levels[0]] * (PLACES - len(levels))
    _pack[(triton.cdiv(sizes[0], PIXELS),)](canvas, *maps, *sizes, **constants, **FUSED)


def join(canvas: Tensor, sides: Sequence[tuple[int, int]], bias: Tensor, outputs: Tensor, first: int) -> None:
    """Write canvas + bias to `outputs` [B, P, C] from pixel `first` on, level after level; channels_last."""
    sizes, constants = _describe(canvas, sides)
    grid = (triton.cdiv(sizes[0], PIXELS),)
    _join[grid](canvas, bias, outputs, outputs.shape[1], first, *sizes, **constants, **FUSED)


def part(canvas: Tensor, sides: Sequence[tuple[int, int]], grad: Tensor, first: int) -> Tensor:
    """Write a canvas's gradient, zeros between levels, from that of `join`'s outputs; return sums [N, C] of its pixels.

    Summed over N, float32, they are the gradient of the bias.
    """
    sizes, constants = _describe(canvas, sides)
    share = triton.cdiv(triton.cdiv(sizes[0], PROGRAMS), PIXELS) * PIXELS
    sums = torch.empty(triton.cdiv(sizes[0], share), constants["C"], dtype=torch.float32, device=grad.device)
    grid = (len(sums), triton.cdiv(constants["C"], constants["CHANNELS"]))
    _part[grid](canvas, grad, sums, share, grad.shape[1], first, *sizes, **constants, **FUSED)
    return sums


def _describe(canvas: Tensor, sides: Sequence[tuple[int, int]]) -> tuple[tuple[int, ...], dict[str, int]]:
    """Return NUMBERS and the constants of a kernel."""
    batch, channels, height, width = canvas.shape
    lengths = [length for side in sides for length in side] + [0, 0] * (PLACES - len(sides))
    block = min(triton.next_power_of_2(channels), CHANNELS)
    return (batch * height * width, height, width, *lengths), {"C": channels, "PIXELS": PIXELS, "CHANNELS": block}
