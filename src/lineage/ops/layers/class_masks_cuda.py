"""The CUDA kernels of class_masks.py, over maps in channels_last; sums are in float32."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from lineage.ops.layers.convolution_cuda import sum_rows
from lineage.ops.layers.kernels import FUSED

PIXELS, CHANNELS = 16, 256  # that a program reads at once
BACKWARD_PIXELS = 8  # it keeps two sums of each
SHARE = 14 * BACKWARD_PIXELS  # pixels of a program of the backward pass


@triton.jit
def _forward(y, bias, filters, out, pixels, C, PIXELS: tl.constexpr, CHANNELS: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip
    region = tl.program_id(0).to(tl.int64)
    pixel = tl.program_id(1) * PIXELS + tl.arange(0, PIXELS)
    total = tl.zeros([PIXELS], tl.float32)
    for start in range(0, C, CHANNELS):
        channel = start + tl.arange(0, CHANNELS)
        exists = channel < C
        index = pixel[:, None] * C + channel[None, :]
        value = tl.load(y + region * pixels * C + index, mask=(pixel < pixels)[:, None] & exists[None, :], other=0.0)
        value = value.to(tl.float32) + tl.load(bias + channel, mask=exists, other=0.0).to(tl.float32)[None, :]
        factor = tl.load(filters + region * C + channel, mask=exists, other=0.0).to(tl.float32)
        total += tl.sum(tl.where(value < 0, 0.0, value) * factor[None, :], 1)  # lets NaN through, as torch's relu
    tl.store(out + region * pixels + pixel, total, mask=pixel < pixels)


@triton.jit
def _backward(grad, y, bias, filters, out, biases, factors, pixels, C, PIXELS: tl.constexpr, CHANNELS: tl.constexpr, SHARE: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip  # noqa: E501
    region, part = tl.program_id(0).to(tl.int64), tl.program_id(1)
    channel = tl.program_id(2) * CHANNELS + tl.arange(0, CHANNELS)
    exists = channel < C
    shift = tl.load(bias + channel, mask=exists, other=0.0).to(tl.float32)[None, :]
    factor = tl.load(filters + region * C + channel, mask=exists, other=0.0).to(tl.float32)[None, :]
    of_bias = tl.zeros([PIXELS, CHANNELS], tl.float32)  # reduced once, after the loop
    of_filter = tl.zeros([PIXELS, CHANNELS], tl.float32)
    for start in range(0, SHARE, PIXELS):
        pixel = part * SHARE + start + tl.arange(0, PIXELS)
        index = region * pixels * C + pixel[:, None] * C + channel[None, :]
        inside = (pixel < pixels)[:, None] & exists[None, :]
        value = tl.load(y + index, mask=inside, other=0.0).to(tl.float32) + shift
        slope = tl.load(grad + region * pixels + pixel, mask=pixel < pixels, other=0.0)[:, None]
        result = tl.where(value > 0, slope * factor, 0.0)
        tl.store(out + index, result.to(out.dtype.element_ty), mask=inside)
        of_bias += result
        of_filter += tl.where(value > 0, slope * value, 0.0)
    place = (region * tl.num_programs(1) + part) * C + channel
    tl.store(biases + place, tl.sum(of_bias, 0), mask=exists)
    tl.store(factors + place, tl.sum(of_filter, 0), mask=exists)


def apply_filters(y: Tensor, bias: Tensor, filters: Tensor) -> Tensor:
    """Return sum_c relu(y + bias)_c * filters_c: y [R, C, M, M], bias [C], filters [R, C] -> [R, M, M] float32"""
    regions, channels, *sides = y.shape
    out = y.new_empty(regions, *sides, dtype=torch.float32)
    pixels = sides[0] * sides[1]
    block = min(triton.next_power_of_2(channels), CHANNELS)
    with torch.cuda.device_of(y):
        _forward[(regions, triton.cdiv(pixels, PIXELS))](
            y, bias, filters.contiguous(), out, pixels, channels, PIXELS=PIXELS, CHANNELS=block, **FUSED
        )
    return out


def apply_filters_backward(grad: Tensor, y: Tensor, bias: Tensor, filters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of y, of its type, of bias and of filters, in float32."""
    regions, channels, *sides = y.shape
    pixels = sides[0] * sides[1]
    block = min(triton.next_power_of_2(channels), CHANNELS)
    out, parts = torch.empty_like(y), triton.cdiv(pixels, SHARE)
    biases, factors = y.new_empty(2, regions, parts, channels, dtype=torch.float32)
    with torch.cuda.device_of(y):
        _backward[(regions, parts, triton.cdiv(channels, block))](
            grad.contiguous(), y, bias, filters.contiguous(), out, biases, factors, pixels, channels,
            PIXELS=BACKWARD_PIXELS, CHANNELS=block, SHARE=SHARE, **FUSED,
        )  # fmt: skip
    return out, sum_rows(biases.flatten(0, 1)), factors.sum(1)
