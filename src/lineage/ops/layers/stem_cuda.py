"""The CUDA kernels of ops/layers/stem.py, tried on the CPU under Triton's interpreter."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from lineage.ops.layers.kernels import FUSED

BEFORE, AFTER = 2, 1  # blocks of padding: the 4x4 window over blocks covers rows 2i - 4 to 2i + 3
CHANNELS = 16
BLOCK = 1024


@triton.jit
def _pack(pixels, sizes, mean, std, out, total, H, W, ROWS, COLUMNS, BEFORE: tl.constexpr, CHANNELS: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip  # noqa: E501
    index = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = index < total
    channel, place = index % CHANNELS, index // CHANNELS
    column, line = place % COLUMNS, place // COLUMNS
    image, row = line // ROWS, line % ROWS
    colour = channel // 4
    y, x = (row - BEFORE) * 2 + (channel % 4) // 2, (column - BEFORE) * 2 + channel % 2
    height, width = tl.load(sizes + image * 2, mask=inside), tl.load(sizes + image * 2 + 1, mask=inside)
    real = inside & (colour < 3) & (y >= 0) & (x >= 0) & (y < height) & (x < width) & (y < H) & (x < W)
    pixel = tl.load(pixels + ((image * 3 + colour) * H + y) * W + x, mask=real, other=0).to(tl.float32)
    colour = tl.where(colour < 3, colour, 0)
    value = (pixel - tl.load(mean + colour)) / tl.load(std + colour)
    tl.store(out + index, tl.where(real, value, 0.0).to(out.dtype.element_ty), mask=inside)


@triton.jit
def _pool(y, shift, out, total, H, W, ROWS, COLUMNS, C, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    index = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = index < total
    channel, place = index % C, index // C
    column, line = place % COLUMNS, place // COLUMNS
    image, row = line // ROWS, line % ROWS
    best = tl.full([BLOCK], float("-inf"), tl.float32)
    for dy in tl.static_range(-1, 2):
        for dx in tl.static_range(-1, 2):
            v, u = row * 2 + dy, column * 2 + dx
            real = inside & (v >= 0) & (v < H) & (u >= 0) & (u < W)
            source = ((image * H + v) * W + u) * C + channel
            value = tl.load(y + source, mask=real, other=float("-inf")).to(tl.float32)
            best = tl.maximum(best, value, propagate_nan=tl.PropagateNan.ALL)
    best += tl.load(shift + channel, mask=inside)
    tl.store(out + index, tl.where(best < 0, 0.0, best).to(out.dtype.element_ty), mask=inside)


def pack_blocks(pixels: Tensor, sizes: Tensor, mean: Tensor, std: Tensor, dtype: torch.dtype) -> Tensor:
    """Return normalized blocks of 2 x 2 pixels, [B, CHANNELS, H / 2 + 3, W / 2 + 3] in channels_last, zeros around."""
    images, _, height, width = pixels.shape
    rows, columns = height // 2 + BEFORE + AFTER, width // 2 + BEFORE + AFTER
    shape = (images, CHANNELS, rows, columns)
    out = torch.empty(shape, dtype=dtype, device=pixels.device, memory_format=torch.channels_last)
    grid = (triton.cdiv(out.numel(), BLOCK),)
    _pack[grid](
        pixels.contiguous(), sizes.float().contiguous(), mean, std, out, out.numel(), height, width, rows, columns,
        BEFORE=BEFORE, CHANNELS=CHANNELS, BLOCK=BLOCK, **FUSED,
    )  # fmt: skip
    return out


def pool(y: Tensor, shift: Tensor) -> Tensor:
    """Return relu(maxpool 3x3 of stride 2 (y) + shift): y [B, C, H, W] in channels_last, H and W even."""
    images, channels, height, width = y.shape
    rows, columns = height // 2, width // 2
    shape = (images, channels, rows, columns)
    out = torch.empty(shape, dtype=y.dtype, device=y.device, memory_format=torch.channels_last)
    grid = (triton.cdiv(out.numel(), BLOCK),)
    _pool[grid](y, shift, out, out.numel(), height, width, rows, columns, channels, BLOCK=BLOCK, **FUSED)
    return out
