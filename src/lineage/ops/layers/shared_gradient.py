"""The gradient of a pyramid's maps, whose poolings all add to one buffer in float32.

A pooling by itself fills the pixels of all levels with zeros, adds its gradient, and rounds to the maps' type; autograd
then adds up such maps, one per pooling, and those of the other readers. Poolings of shared maps add to one buffer and
hand no gradient to autograd. They are readers of the maps all the same, so autograd calls `_Share.backward` after the
last of them: it adds the buffer to the gradient of the other readers and rounds once, a kernel per level.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from lineage.ops.fused_roi import count_pixels, levels_of, runs_fused, sides_of, split_levels
from lineage.ops.layers.kernels import runs_kernels

# Triton loads only where a kernel runs: the functions below import it


class GradientSums:
    """The sum of what the poolings of some maps add in a backward pass, [pixels of pooled levels, C] in float32."""

    def __init__(self, maps: Sequence[Tensor]) -> None:
        self.images, self.channels, self.device = maps[0].shape[0], maps[0].shape[1], maps[0].device
        self.sides = sides_of(maps)
        self.levels = 0  # that poolings read: the finest ones
        self.buffer: Tensor | None = None
        self.touched: Tensor | None = None  # [pixels] uint8: 1 where a pooling added something

    def open(self) -> tuple[Tensor, Tensor]:
        """Return the buffer and the marks, of zeros for the first pooling of a backward pass."""
        if self.buffer is None or self.touched is None:
            pixels = count_pixels(self.images, self.sides[: 2 * self.levels])
            self.buffer = torch.zeros(pixels, self.channels, device=self.device)
            self.touched = torch.zeros(pixels, dtype=torch.uint8, device=self.device)
        return self.buffer, self.touched

    def close(self) -> list[tuple[Tensor, Tensor]]:
        """Return the sums [B, C, H, W] and marks of each level, none if nothing was pooled; then start anew."""
        buffer, touched = self.buffer, self.touched
        self.buffer = self.touched = None
        if buffer is None or touched is None:
            return []
        sides = self.sides[: 2 * self.levels]
        marks = split_levels(touched[:, None], self.images, sides)
        return list(zip(split_levels(buffer, self.images, sides), marks, strict=True))


class SharedMaps(list[Tensor]):
    """Maps [B, C, H, W] whose poolings add to one buffer, and so do those of a slice of the first maps.

    To any other reader they are tensors as all are. factor: of the gradient that a pooling adds.
    """

    def __init__(self, maps: Iterable[Tensor], sums: GradientSums, factor: float = 1.0) -> None:
        super().__init__(maps)
        self.sums, self.factor = sums, factor

    def __getitem__(self, index: Any) -> Any:
        part = super().__getitem__(index)
        # the buffer holds level after level from the first, and so do the kernels count
        begins = isinstance(index, slice) and index.start in {None, 0} and index.step in {None, 1}
        return SharedMaps(part, self.sums, self.factor) if begins else part


def share_gradient(maps: list[Tensor]) -> list[Tensor]:
    """Return the maps [B, C, H, W] as they are, or where the kernels of RoI layers run, shared by their poolings.

    A gradient with respect to a shared map itself would lack that of the poolings: ask for that of the given one.
    """
    if not _can_share(maps):
        return maps
    sums = GradientSums(maps)
    return SharedMaps(_Share.apply(sums, *maps), sums)


def scale_gradient(maps: list[Tensor], factor: float) -> list[Tensor]:
    """Return maps of the same values, whose readers send `factor` times their gradient to the given ones."""
    if isinstance(maps, SharedMaps):
        return SharedMaps(_Scale.apply(factor, *maps), maps.sums, factor * maps.factor)
    return [x.detach() + factor * (x - x.detach()) for x in maps]


def _can_share(maps: Sequence[Tensor]) -> bool:
    has_gradient = torch.is_grad_enabled() and all(level.requires_grad for level in maps)
    return has_gradient and runs_fused(maps[:1]) and runs_kernels(maps[0])


def roi_align_shared(
    maps: SharedMaps, rois: Tensor, level: Tensor | None, size: int, sampling_ratio: int, aligned: bool
) -> Tensor:
    """Compute ops.fused_roi.roi_align_levels of shared maps."""
    return _Align.apply(maps, rois, levels_of(rois, level), size, sampling_ratio, aligned, *maps)


def roi_pool_shared(maps: SharedMaps, rois: Tensor, level: Tensor | None, size: int) -> Tensor:
    """Compute ops.fused_roi.roi_pool_levels of shared maps."""
    return _Pool.apply(maps, rois, levels_of(rois, level), size, *maps)


class _Share(torch.autograd.Function):
    """The same maps; the gradient is that of the readers plus the sums of the poolings."""

    @staticmethod
    def forward(ctx: Any, sums: GradientSums, *maps: Tensor) -> tuple[Tensor, ...]:
        ctx.sums, ctx.dtype = sums, maps[0].dtype
        ctx.set_materialize_grads(False)
        return tuple(level.detach() for level in maps)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        from lineage.ops.layers import convolution_cuda

        joined = list(grads)
        for index, (sums, touched) in enumerate(ctx.sums.close()):
            grad = grads[index]
            joined[index] = sums.to(ctx.dtype) if grad is None else convolution_cuda.add(sums, grad, touched)
        return None, *joined


class _Scale(torch.autograd.Function):
    """The same maps; the gradient of their readers, without the poolings, times a factor."""

    @staticmethod
    def forward(ctx: Any, factor: float, *maps: Tensor) -> tuple[Tensor, ...]:
        ctx.factor = factor
        ctx.set_materialize_grads(False)
        return tuple(level.detach() for level in maps)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        return None, *(None if grad is None else ctx.factor * grad for grad in grads)


def _note(ctx: Any, maps: SharedMaps) -> None:
    """Keep for the backward pass where the gradient of a pooling goes."""
    ctx.sums, ctx.factor, ctx.sides = maps.sums, maps.factor, sides_of(maps)
    ctx.sums.levels = max(ctx.sums.levels, len(maps))
    ctx.set_materialize_grads(False)


class _Align(torch.autograd.Function):
    """RoIAlign of shared maps, which adds its gradient to their sums and returns none."""

    @staticmethod
    def forward(
        ctx: Any, shared: SharedMaps, rois: Tensor, level: Tensor, size: int, sampling_ratio: int, aligned: bool,
        *maps: Tensor,
    ) -> Tensor:  # fmt: skip
        from lineage.ops import roi_align_cuda

        _note(ctx, shared)
        ctx.sampling_ratio, ctx.aligned = sampling_ratio, aligned
        ctx.save_for_backward(rois, level)
        return roi_align_cuda.align(maps, rois, level, size, sampling_ratio, aligned)

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None) -> tuple[Any, ...]:
        from lineage.ops import roi_align_cuda

        if grad is not None:
            rois, level = ctx.saved_tensors
            sums, touched = ctx.sums.open()
            arguments = ctx.sums.images, ctx.sides, ctx.sampling_ratio, ctx.aligned, ctx.factor, touched
            roi_align_cuda.add_gradient(sums, grad, rois, level, *arguments)
        return (None,) * len(ctx.needs_input_grad)


class _Pool(torch.autograd.Function):
    """RoIPool of shared maps, which adds its gradient to their sums and returns none."""

    @staticmethod
    def forward(ctx: Any, shared: SharedMaps, rois: Tensor, level: Tensor, size: int, *maps: Tensor) -> Tensor:
        from lineage.ops import roi_pool_cuda

        _note(ctx, shared)
        bins, pixel = roi_pool_cuda.pool(maps, rois, level, size)
        ctx.save_for_backward(pixel)
        return bins

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None) -> tuple[Any, ...]:
        from lineage.ops import roi_pool_cuda

        if grad is not None:
            grad = grad if ctx.factor == 1 else ctx.factor * grad
            sums, touched = ctx.sums.open()
            roi_pool_cuda.add_gradient(sums, grad, ctx.saved_tensors[0])
            touched.fill_(1)
        return (None,) * len(ctx.needs_input_grad)
