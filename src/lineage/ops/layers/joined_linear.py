"""Layers of one input as a single product, such as the classes and the boxes of a region.

On CUDA in half precision their weights are joined and padded to the multiple of 8 outputs that matrix units want: for
81 classes and 4 deltas alone cuBLAS has slow kernels only. Elsewhere each layer is its own product.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lineage.ops.layers.kernels import HALVES, runs_kernels

ALIGNMENT = 8


def apply_joined(x: Tensor, first: nn.Module, second: nn.Module) -> tuple[Tensor, Tensor]:
    """Return the outputs of two layers in float32: x [R, in_features] -> [R, out_features] each"""
    if not (isinstance(first, nn.Linear) and isinstance(second, nn.Linear)):
        return first(x).float(), second(x).float()
    parameters = (first.weight, second.weight, first.bias, second.bias)
    if not (runs_kernels(x) and x.dtype in HALVES and x.is_contiguous() and x.numel() and _are_plain(parameters)):
        return first(x).float(), second(x).float()
    outputs: tuple[Tensor, Tensor] = _Both.apply(x, *parameters)
    return outputs


def _are_plain(parameters: Sequence[Tensor | None]) -> bool:
    """Return whether all parameters exist, in float32 and dense."""
    return all(x is not None and x.dtype == torch.float32 and x.is_contiguous() for x in parameters)


class _Both(torch.autograd.Function):
    """Both outputs [R, out_features] in float32, of the joined weights in the type of x."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight1: Tensor, weight2: Tensor, bias1: Tensor, bias2: Tensor
    ) -> tuple[Tensor, Tensor]:
        from lineage.ops.layers.joined_linear_cuda import join, part  # Triton loads only where there is a GPU

        ctx.sizes = len(weight1), len(weight2)
        padded = -(-sum(ctx.sizes) // ALIGNMENT) * ALIGNMENT
        weight = join(weight1, weight2, padded, x.dtype)
        bias = join(bias1[:, None], bias2[:, None], padded, x.dtype)[:, 0]
        ctx.save_for_backward(x, weight)
        y = torch.addmm(bias, x, weight.t())
        first, second = part(y.t(), ctx.sizes)
        return first.t(), second.t()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad1: Tensor, grad2: Tensor) -> tuple[Tensor | None, ...]:
        from lineage.ops.layers import convolution_cuda
        from lineage.ops.layers.joined_linear_cuda import join, part

        x, weight = ctx.saved_tensors
        grad = join(grad1.t(), grad2.t(), len(weight), x.dtype).t()
        sums = convolution_cuda.finish_backward(grad[..., None, None], None, needs_bias=True)[1]
        biases = part(sums[:, None], ctx.sizes)
        weights = part(grad.t() @ x, ctx.sizes) if any(ctx.needs_input_grad[1:3]) else (None, None)
        grad_x = grad @ weight if ctx.needs_input_grad[0] else None
        return grad_x, *weights, *(bias[:, 0] for bias in biases)
