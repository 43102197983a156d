"""A frozen norm folded into the convolution before it: filters and bias, in the type that the convolution runs in."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from lineage.ops.layers.kernels import FLOATS, read_compute_type, runs_kernels
from lineage.ops.layers.prepared_weights import find_prepared


class FrozenNorm(NamedTuple):
    """The constants of a batch norm: y = (x - mean) / sqrt(variance + eps) * weight + bias."""

    weight: Tensor  # [C], as the next three
    bias: Tensor
    mean: Tensor
    variance: Tensor
    eps: float

    def affine(self) -> tuple[Tensor, Tensor]:
        """Return the (scale, shift) of each channel, two of [C]: y = x * scale + shift"""
        scale = self.weight * torch.rsqrt(self.variance + self.eps)
        return scale, self.bias - self.mean * scale


def fold_norm(weight: Tensor, norm: FrozenNorm) -> tuple[Tensor, Tensor]:
    """Return weight [O, I, h, w] * scale [O] and the shift [O]; on CUDA in one kernel, in the type of autocast."""
    if runs_kernels(weight) and _is_dense(weight):
        dtype = read_compute_type(weight)
        prepared = find_prepared(weight, norm, dtype)
        if prepared is not None and prepared.shift is not None:
            return prepared.weight, prepared.shift
        if dtype in FLOATS:
            filters, shift = _FoldNorm.apply(weight, norm, dtype)
            return filters, shift
    scale, shift = norm.affine()
    return weight * scale[:, None, None, None], shift


def _is_dense(weight: Tensor) -> bool:
    """Return whether the filters lie one after the other."""
    return weight.is_contiguous() or weight.is_contiguous(memory_format=torch.channels_last)


class _FoldNorm(torch.autograd.Function):
    """Scale and cast; the gradient is cast and scaled. The constants have none."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, norm: FrozenNorm, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        from lineage.ops.layers import convolution_cuda  # Triton loads only where there is a GPU

        ctx.norm, ctx.like = norm, (weight.stride(), weight.dtype)
        filters, shift = convolution_cuda.fold_norm(weight, norm, dtype)
        ctx.mark_non_differentiable(shift)
        ctx.set_materialize_grads(False)
        return filters, shift

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: None) -> tuple[Any, ...]:
        from lineage.ops.layers import convolution_cuda

        strides, dtype = ctx.like
        if grad.stride() != strides:
            grad = torch.empty_strided(grad.shape, strides, dtype=grad.dtype, device=grad.device).copy_(grad)
        return convolution_cuda.fold_norm(grad, ctx.norm, dtype)[0], None, None
