"""The filters of a convolution times the scale of a folded norm, in the type that the convolution runs in."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lineage.ops.layers.kernels import FLOATS, runs_kernels


def scale_filters(weight: Tensor, scale: Tensor) -> Tensor:
    """Return weight [O, I, h, w] * scale [O]; on CUDA under autocast already in its type, in one kernel."""
    if runs_kernels(weight) and torch.is_autocast_enabled("cuda"):
        dtype = torch.get_autocast_dtype("cuda")
        if dtype in FLOATS and _is_dense(weight):
            return _ScaleFilters.apply(weight, scale, dtype)
    return weight * scale[:, None, None, None]


def _is_dense(weight: Tensor) -> bool:
    """Return whether the filters lie one after the other."""
    return weight.is_contiguous() or weight.is_contiguous(memory_format=torch.channels_last)


class _ScaleFilters(torch.autograd.Function):
    """Scale and cast; the gradient is cast and scaled."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
        from lineage.ops.layers import convolution_cuda  # Triton loads only where there is a GPU

        ctx.save_for_backward(scale)
        ctx.like = weight.stride(), weight.dtype
        return convolution_cuda.scale_filters(weight, scale, dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        from lineage.ops.layers import convolution_cuda

        (scale,) = ctx.saved_tensors
        strides, dtype = ctx.like
        if grad.stride() != strides:
            grad = torch.empty_strided(grad.shape, strides, dtype=grad.dtype, device=grad.device).copy_(grad)
        return convolution_cuda.scale_filters(grad, scale, dtype), None, None
