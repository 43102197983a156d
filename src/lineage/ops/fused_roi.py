"""RoIAlign and RoIPool on a pyramid as custom operators around the Triton kernels.

Operators, so that a compiled step holds them as they are and a CUDA graph captures them: one launch, fixed shapes,
no host sync. What the kernels cannot take goes another way: `runs_fused`.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

TRITON = find_spec("triton") is not None and torch.version.hip is None
TYPES = (torch.float32, torch.bfloat16, torch.float16)
MAX_LEVELS = 5


def runs_fused(maps: Sequence[Tensor]) -> bool:
    """Return whether the kernels take these maps: on a GPU of compute capability 8.0, no float64, five levels at most.

    Deterministic algorithms exclude them (their gradients add in any order), and so does export, as a captured program
    must not need this package.
    """
    first = maps[0]
    return (
        first.is_cuda
        and TRITON
        and first.dtype in TYPES
        and len(maps) <= MAX_LEVELS
        and torch.cuda.get_device_properties(first.device).major >= 8
        and not torch.are_deterministic_algorithms_enabled()
        and not torch.compiler.is_exporting()
    )


def roi_align_levels(
    maps: Sequence[Tensor], rois: Tensor, level: Tensor | None, size: int, sampling_ratio: int, aligned: bool
) -> Tensor:
    """Compute ops.roi_align.roi_align by the kernels; bins are channels last in memory, of the maps' type."""
    return align(list(maps), rois, levels_of(rois, level), size, sampling_ratio, aligned)


def roi_pool_levels(maps: Sequence[Tensor], rois: Tensor, level: Tensor | None, size: int) -> Tensor:
    """Compute ops.roi_pool.roi_pool by the kernels."""
    return pool(list(maps), rois, levels_of(rois, level), size)[0]


def levels_of(rois: Tensor, level: Tensor | None) -> Tensor:
    """Return the level of each region, [R]."""
    return torch.zeros(rois.shape[0], dtype=torch.int64, device=rois.device) if level is None else level


def sides_of(maps: Sequence[Tensor]) -> list[int]:
    """Return the heights and widths of maps [B, C, H, W], one after the other."""
    return [extent for level in maps for extent in level.shape[2:]]


def count_pixels(images: int, sides: Sequence[int]) -> int:
    """Return how many pixels all levels have together."""
    return images * sum(height * width for height, width in zip(sides[::2], sides[1::2], strict=True))


def split_levels(flat: Tensor, images: int, sides: Sequence[int]) -> list[Tensor]:
    """Return each level's gradient [B, C, H, W] of that of all pixels [P, C], as views."""
    gradients, start = [], 0
    for height, width in zip(sides[::2], sides[1::2], strict=True):
        pixels = images * height * width
        level = flat[start : start + pixels].view(images, height, width, flat.shape[1])
        gradients.append(level.permute(0, 3, 1, 2))
        start += pixels
    return gradients


def _bins(maps: Sequence[Tensor], rois: Tensor, size: int) -> Tensor:
    first = maps[0]
    return first.new_empty(rois.shape[0], size, size, first.shape[1]).permute(0, 3, 1, 2)


# Triton loads only where a kernel runs: the functions below import it


@torch.library.custom_op("lineage::roi_align", mutates_args=())
def align(maps: Sequence[Tensor], rois: Tensor, level: Tensor, size: int, sampling_ratio: int, aligned: bool) -> Tensor:
    """Pool maps [B, C, H, W] in regions [R, 5] of levels [R] -> [R, C, size, size]."""
    from lineage.ops import roi_align_cuda

    return roi_align_cuda.align(maps, rois, level, size, sampling_ratio, aligned)


@align.register_fake
def _(maps: Sequence[Tensor], rois: Tensor, level: Tensor, size: int, sampling_ratio: int, aligned: bool) -> Tensor:
    return _bins(maps, rois, size)


@torch.library.custom_op("lineage::roi_align_backward", mutates_args=())
def align_backward(
    grad: Tensor, rois: Tensor, level: Tensor, images: int, sides: Sequence[int], sampling_ratio: int, aligned: bool
) -> Tensor:
    """Return the gradient of all levels' pixels, [P, C], of `grad`'s type; sides: h0, w0, h1, w1, ..."""
    from lineage.ops import roi_align_cuda

    return roi_align_cuda.align_backward(grad, rois, level, images, sides, sampling_ratio, aligned)


@align_backward.register_fake
def _(
    grad: Tensor, rois: Tensor, level: Tensor, images: int, sides: Sequence[int], sampling_ratio: int, aligned: bool
) -> Tensor:
    return grad.new_empty(count_pixels(images, sides), grad.shape[1])


def _save_align(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    maps, rois, level, _, ctx.sampling_ratio, ctx.aligned = inputs
    ctx.save_for_backward(rois, level)
    ctx.images, ctx.sides = maps[0].shape[0], sides_of(maps)


def _align_gradient(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    rois, level = ctx.saved_tensors
    flat = align_backward(grad, rois, level, ctx.images, ctx.sides, ctx.sampling_ratio, ctx.aligned)
    return split_levels(flat, ctx.images, ctx.sides), None, None, None, None, None


align.register_autograd(_align_gradient, setup_context=_save_align)


@torch.library.custom_op("lineage::roi_pool", mutates_args=())
def pool(maps: Sequence[Tensor], rois: Tensor, level: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Pool maps [B, C, H, W] in regions [R, 5] of levels [R] -> [R, C, size, size]; and the pixel of each maximum.

    A pixel is its index among all pixels of all levels; -1 in a bin without pixels, whose value is 0.
    """
    from lineage.ops import roi_pool_cuda

    return roi_pool_cuda.pool(maps, rois, level, size)


@pool.register_fake
def _(maps: Sequence[Tensor], rois: Tensor, level: Tensor, size: int) -> tuple[Tensor, Tensor]:
    bins = _bins(maps, rois, size)
    return bins, torch.empty_like(bins, dtype=torch.int32)


@torch.library.custom_op("lineage::roi_pool_backward", mutates_args=())
def pool_backward(grad: Tensor, pixel: Tensor, pixels: int) -> Tensor:
    """Return the gradient of all levels' pixels, [pixels, C], of `grad`'s type."""
    from lineage.ops import roi_pool_cuda

    return roi_pool_cuda.pool_backward(grad, pixel, pixels)


@pool_backward.register_fake
def _(grad: Tensor, pixel: Tensor, pixels: int) -> Tensor:
    return grad.new_empty(pixels, grad.shape[1])


def _save_pool(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    maps = inputs[0]
    ctx.save_for_backward(output[1])
    ctx.images, ctx.sides = maps[0].shape[0], sides_of(maps)


def _pool_gradient(ctx: Any, grad: Tensor, _: Tensor | None) -> tuple[Any, ...]:
    flat = pool_backward(grad, ctx.saved_tensors[0], count_pixels(ctx.images, ctx.sides))
    return split_levels(flat, ctx.images, ctx.sides), None, None, None


pool.register_autograd(_pool_gradient, setup_context=_save_pool)
