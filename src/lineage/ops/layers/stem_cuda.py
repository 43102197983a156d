"""The CUDA kernels of ops/layers/stem.py, tried on the CPU under Triton's interpreter."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from lineage.ops.layers.kernels import FUSED

SIDE = 4  # pixels of a block along each axis
CHANNELS = 3 * SIDE * SIDE
BLOCK = 1024


@triton.jit
def _pack(pixels, sizes, mean, std, out, total, H, W, ROWS, COLUMNS, SIDE: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip
    index = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = index < total
    channel, place = index % (3 * SIDE * SIDE), index // (3 * SIDE * SIDE)
    column, line = place % COLUMNS, place // COLUMNS
    image, row = line // ROWS, line % ROWS
    colour = channel // (SIDE * SIDE)
    y, x = row * SIDE + channel // SIDE % SIDE, column * SIDE + channel % SIDE
    height, width = tl.load(sizes + image * 2, mask=inside), tl.load(sizes + image * 2 + 1, mask=inside)
    real = inside & (y < height) & (x < width)
    pixel = tl.load(pixels + ((image * 3 + colour) * H + y) * W + x, mask=real, other=0).to(tl.float32)
    value = (pixel - tl.load(mean + colour)) / tl.load(std + colour)
    tl.store(out + index, tl.where(real, value, 0.0).to(out.dtype.element_ty), mask=inside)


@triton.jit
def _pool(y, shift, out, total, ROWS, COLUMNS, C, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    index = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = index < total
    channel, place = index % C, index // C
    column, line = place % COLUMNS, place // COLUMNS
    row = line % ROWS
    best = tl.full([BLOCK], float("-inf"), tl.float32)
    for dy in tl.static_range(-1, 2):
        for dx in tl.static_range(-1, 2):
            # the row and the column before belong to the blocks before; 0 is the last row of a block, 1 the first
            above, left = dy < 0, dx < 0
            real = inside & ((row > 0) | (not above)) & ((column > 0) | (not left))
            source = place - above * COLUMNS - left
            part = (dy == 0) * 2 + (dx == 0)
            value = tl.load(y + (source * 4 + part) * C + channel, mask=real, other=float("-inf")).to(tl.float32)
            best = tl.maximum(best, value, propagate_nan=tl.PropagateNan.ALL)
    best += tl.load(shift + channel, mask=inside)
    tl.store(out + index, tl.where(best < 0, 0.0, best).to(out.dtype.element_ty), mask=inside)


def pack_blocks(pixels: Tensor, sizes: Tensor, mean: Tensor, std: Tensor, dtype: torch.dtype) -> Tensor:
    """Return normalized blocks of 4 x 4 pixels [B, 48, H / 4, W / 4] in channels_last, zeros outside of an image."""
    images, _, height, width = pixels.shape
    rows, columns = height // SIDE, width // SIDE
    shape = (images, CHANNELS, rows, columns)
    out = torch.empty(shape, dtype=dtype, device=pixels.device, memory_format=torch.channels_last)
    grid = (triton.cdiv(out.numel(), BLOCK),)
    _pack[grid](
        pixels.contiguous(), sizes.float().contiguous(), mean, std, out, out.numel(), height, width, rows, columns,
        SIDE=SIDE, BLOCK=BLOCK, **FUSED,
    )  # fmt: skip
    return out


def pool(y: Tensor, shift: Tensor) -> Tensor:
    """Return relu(maxpool 3x3 of stride 2 + shift) of a map [B, C, 2h, 2w] -> [B, C, h, w]

    y: the map by blocks, as `rearrange_filters` makes it, [B, 2 * 2 * C, h, w] in channels_last.
    """
    images, channels, rows, columns = y.shape
    shape = (images, channels // 4, rows, columns)
    out = torch.empty(shape, dtype=y.dtype, device=y.device, memory_format=torch.channels_last)
    grid = (triton.cdiv(out.numel(), BLOCK),)
    _pool[grid](y, shift, out, out.numel(), rows, columns, channels // 4, BLOCK=BLOCK, **FUSED)
    return out
