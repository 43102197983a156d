"""Convolutions that all pyramid levels share, in two calls: the finest level alone, all others on one canvas.

Small maps leave a GPU idle, and each costs some ten kernels per convolution and step. On the canvas the second level
stands left and the coarser ones are stacked right of it, with a row or column of zeros between them: the padding that a
3x3 convolution sees at a border. So values and gradients are those of single levels, up to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lineage.ops.layers.convolution import convolve
from lineage.ops.layers.kernels import runs_kernels

MIN_LEVELS, MAX_LEVELS = 3, 5  # of two, none would share a canvas; the kernel that clears gaps knows four places

Side = tuple[int, int]  # height and width of a level


class PackedLevels(NamedTuple):
    """A pyramid as two maps."""

    finest: Tensor  # [B, C, H, W]
    canvas: Tensor  # [B, C, h, w]: the other levels, zeros between them
    sides: tuple[Side, ...]  # of the levels on the canvas


def can_pack(levels: Sequence[Tensor]) -> bool:
    """Return whether these levels are packed: on CUDA, in eager mode or a recorded step."""
    return MIN_LEVELS <= len(levels) <= MAX_LEVELS and runs_kernels(levels[0])


def pack(levels: Sequence[Tensor]) -> PackedLevels:
    """Pack a pyramid [B, C, H_l, W_l], finest level first."""
    sides = tuple((level.shape[2], level.shape[3]) for level in levels[1:])
    return PackedLevels(levels[0], _Pack.apply(sides, *levels[1:]), sides)


def convolve_packed(levels: PackedLevels, conv: nn.Conv2d) -> PackedLevels:
    """Return relu(conv(level) + bias) of each level, for a 3x3 convolution that pads by a pixel."""
    weight = conv.weight.to(levels.finest.dtype)  # once for both maps
    finest, canvas = convolve(levels.finest, conv, weight=weight), convolve(levels.canvas, conv, weight=weight)
    _clear_gaps(canvas, levels.sides)
    return PackedLevels(finest, canvas, levels.sides)


def predict_packed(
    levels: PackedLevels, weight: Tensor, bias: Tensor, *, padding: int, dtype: torch.dtype | None = torch.float32
) -> Tensor:
    """Return conv(level) + bias of all levels' pixels, level after level and row after row: [B, P, C]

    dtype: None is the type that the convolution has under autocast: half of the bytes where that is bfloat16.
    """
    weight = weight.to(levels.finest.dtype)
    finest, canvas = (F.conv2d(x, weight, padding=padding) for x in (levels.finest, levels.canvas))
    outputs: Tensor = _Join.apply(finest, canvas, bias, levels.sides, dtype or finest.dtype)
    return outputs


def _windows(canvas: Tensor, sides: Sequence[Side]) -> list[Tensor]:
    """Return the views [B, C, H_l, W_l] of the levels on a canvas."""
    (height, width), *column = sides
    windows, top = [canvas[:, :, :height, :width]], 0
    for rows, columns in column:
        windows.append(canvas[:, :, top : top + rows, width + 1 : width + 1 + columns])
        top += rows + 1
    return windows


def _new_canvas(like: Tensor, channels: int, sides: Sequence[Side]) -> Tensor:
    """Return a canvas of undefined values, in channels_last."""
    (height, width), *column = sides
    height = max(height, sum(rows + 1 for rows, _ in column) - 1)
    width += 1 + max(columns for _, columns in column)
    shape = (like.shape[0], channels, height, width)
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)


def _clear_gaps(canvas: Tensor, sides: Sequence[Side]) -> None:
    """Write zeros between the levels of a rectified canvas, in its memory.

    Its ReLU reads that memory for its gradient, which is 0 where the result is 0: so gaps hand on no gradient either,
    and neither filters nor bias learn from them.
    """
    from lineage.ops.layers import level_canvas_cuda  # Triton loads only where there is a GPU

    level_canvas_cuda.clear_gaps(canvas.detach(), sides)


def _fill(canvas: Tensor, levels: Sequence[Tensor], sides: Sequence[Side]) -> None:
    """Write levels and the zeros between them to a canvas."""
    from lineage.ops.layers import level_canvas_cuda

    level_canvas_cuda.pack(canvas, levels, sides)


def _write(canvas: Tensor, sides: Sequence[Side], bias: Tensor, outputs: Tensor, first: int) -> None:
    """Write canvas + bias to `outputs` [B, P, C] from pixel `first` on, level after level."""
    from lineage.ops.layers import level_canvas_cuda

    level_canvas_cuda.join(canvas, sides, bias, outputs, first)


def _read(canvas: Tensor, sides: Sequence[Side], grad: Tensor, first: int) -> Tensor:
    """Write a canvas's gradient from that of the outputs; return sums [N, C] of its pixels, any N, float32."""
    from lineage.ops.layers import level_canvas_cuda

    return level_canvas_cuda.part(canvas, sides, grad, first)


class _Pack(torch.autograd.Function):
    """Copy levels to a canvas; the gradient of a level is a view of the canvas's."""

    @staticmethod
    def forward(ctx: Any, sides: Sequence[Side], *levels: Tensor) -> Tensor:
        ctx.sides = sides
        canvas = _new_canvas(levels[0], levels[0].shape[1], sides)
        maps = [level.to(canvas.dtype).contiguous(memory_format=torch.channels_last) for level in levels]
        _fill(canvas, maps, sides)
        return canvas

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        return None, *_windows(grad, ctx.sides)


class _Join(torch.autograd.Function):
    """Add the bias, cast and write all levels one after the other, in one pass over each map; so is the gradient."""

    @staticmethod
    def forward(
        ctx: Any, finest: Tensor, canvas: Tensor, bias: Tensor, sides: Sequence[Side], dtype: torch.dtype
    ) -> Tensor:
        ctx.sides, ctx.finest, ctx.dtype, ctx.bias_type = sides, finest.shape[2:], finest.dtype, bias.dtype
        finest, canvas = (x.contiguous(memory_format=torch.channels_last) for x in (finest, canvas))
        first = ctx.finest.numel()
        pixels = first + sum(height * width for height, width in sides)
        outputs = torch.empty(len(finest), pixels, len(bias), dtype=dtype, device=finest.device)
        _write(finest, [ctx.finest], bias, outputs, 0)
        _write(canvas, sides, bias, outputs, first)
        return outputs

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        shape, options = (len(grad), grad.shape[2], *ctx.finest), {"dtype": ctx.dtype, "device": grad.device}
        finest = torch.empty(shape, **options, memory_format=torch.channels_last)
        canvas, grad = _new_canvas(finest, finest.shape[1], ctx.sides), grad.contiguous()
        sums = _read(finest, [ctx.finest], grad, 0), _read(canvas, ctx.sides, grad, ctx.finest.numel())
        grad_bias = torch.cat(sums).sum(0).to(ctx.bias_type) if ctx.needs_input_grad[2] else None
        return finest, canvas, grad_bias, None, None
