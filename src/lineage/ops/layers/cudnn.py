"""cuDNN's convolutions that end in bias, shortcut and ReLU, with the gradient that torch does not give them.

In half precision and channels_last such a kernel costs what the bare convolution does: no pass over the map follows.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lineage.ops.layers.kernels import HALVES, runs_kernels

ALIGNMENT = 8  # channels of cuDNN's fast kernels are a multiple of it
tried: set[tuple[Any, ...]] = set()  # shapes; those that cuDNN has no fused kernel for:
refused: set[tuple[Any, ...]] = set()

Shape = tuple[Any, ...]  # stride, padding, dilation, groups


def can_fuse(x: Tensor, weight: Tensor, shape: Shape, shortcut: Tensor | None) -> bool:
    """Return whether the fused kernel takes this convolution."""
    return (
        runs_kernels(x)
        and x.dtype in HALVES
        and shape[3] == 1
        and weight.shape[0] % ALIGNMENT == 0
        and weight.shape[1] % ALIGNMENT == 0
        and torch.backends.cudnn.is_available()
        and torch.backends.cudnn.enabled
        and _is_channels_last(x)
        and _is_channels_last(weight)
        and (shortcut is None or (shortcut.dtype == x.dtype and _is_channels_last(shortcut)))
        and _finds_kernel(x, weight, shape, shortcut)
    )


def _is_channels_last(x: Tensor) -> bool:
    return x.is_contiguous(memory_format=torch.channels_last)


def _finds_kernel(x: Tensor, weight: Tensor, shape: Shape, shortcut: Tensor | None) -> bool:
    """Try the kernel once per shape: only then cuDNN reports whether it has one."""
    key = (x.dtype, x.shape, weight.shape, *map(str, shape), shortcut is not None)
    if key in tried:
        return key not in refused
    if torch.cuda.is_current_stream_capturing():
        return False
    tried.add(key)
    try:
        with torch.no_grad():
            bias = weight.new_zeros(len(weight), dtype=x.dtype)
            _run(x.detach(), weight.detach().to(x.dtype), bias, None if shortcut is None else shortcut.detach(), shape)
    except RuntimeError:
        refused.add(key)
    return key not in refused


def _run(x: Tensor, weight: Tensor, bias: Tensor, shortcut: Tensor | None, shape: Shape) -> Tensor:
    if shortcut is None:
        return torch.cudnn_convolution_relu(x, weight, bias, *shape)
    return torch.cudnn_convolution_add_relu(x, weight, shortcut, 1.0, bias, *shape)


class FusedConvolution(torch.autograd.Function):
    """relu(conv(x) + bias + shortcut), returned to each reader."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, shortcut: Tensor | None, shape: Shape, readers: int
    ) -> tuple[Tensor, ...]:
        out = _run(x, weight, bias.to(x.dtype), shortcut, shape)
        ctx.shape, ctx.bias_type = shape, bias.dtype
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, weight, out)
        return out, *(out.detach() for _ in range(readers - 1))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        from lineage.ops.layers import convolution_cuda  # Triton loads only where there is a GPU

        x, weight, out = ctx.saved_tensors
        grad, *others = [grad for grad in grads if grad is not None]
        needs_x, needs_weight, needs_bias, needs_shortcut, *_ = ctx.needs_input_grad
        grad, bias_sums = convolution_cuda.finish_backward(grad, out, needs_bias, others)
        stride, padding, dilation, groups = ctx.shape
        grad_x, grad_weight, _ = torch.ops.aten.convolution_backward(
            grad, x, weight, None, stride, padding, dilation, False, [0, 0], groups, [needs_x, needs_weight, False]
        )
        grad_bias = bias_sums.to(ctx.bias_type) if needs_bias else None
        return grad_x, grad_weight, grad_bias, grad if needs_shortcut else None, None, None
