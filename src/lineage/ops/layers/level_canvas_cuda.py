"""The CUDA kernel of level_canvas.py: zeros between the levels of a canvas."""

from __future__ import annotations

from collections.abc import Sequence

import triton
import triton.language as tl
from torch import Tensor

from lineage.ops.layers.kernels import FUSED

PIXELS, CHANNELS = 32, 256  # of one program
PLACES = 4
NUMBERS = ["pixels", "H", "W", "C", "h0", "w0", "h1", "w1", "h2", "w2", "h3", "w3"]  # not a kernel for each value


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


def clear_gaps(canvas: Tensor, sides: Sequence[tuple[int, int]]) -> None:
    """Write zeros to the pixels of a canvas [B, C, H, W] that belong to no level, of two to four (height, width)."""
    batch, channels, height, width = canvas.shape
    lengths = [length for side in sides for length in side] + [0, 0] * (PLACES - len(sides))
    pixels, block = batch * height * width, min(triton.next_power_of_2(channels), CHANNELS)
    grid = (triton.cdiv(pixels, PIXELS), triton.cdiv(channels, block))
    numbers = (pixels, height, width, channels, *canvas.stride(), *lengths)
    _clear[grid](canvas, *numbers, PIXELS=PIXELS, CHANNELS=block, **FUSED)
