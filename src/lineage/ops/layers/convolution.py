"""A convolution with its bias, its shortcut and its ReLU: relu(conv(x) + bias + shortcut).

On CUDA, in channels_last, what follows the convolution is one pass over the map (convolution_cuda.py), and so is its
gradient: the ReLU's mask and the sum of the bias together. Elsewhere, and in a compiled or exported program, it is
plain torch, which a compiler fuses by itself.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lineage.ops.layers import cudnn
from lineage.ops.layers.kernels import FLOATS, runs_kernels

READERS = 3  # of the map of a residual block: the next block, its shortcut, and the pyramid


def convolve(
    x: Tensor,
    conv: nn.Conv2d,
    *,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    shortcut: Tensor | None = None,
    relu: bool = True,
) -> Tensor:
    """Apply a convolution to x [B, C, H, W], add `shortcut`, rectify; `weight` and `bias` replace the layer's own."""
    if relu and (fused := _convolve_fused(x, conv, weight, bias, shortcut, readers=1)):
        return fused[0]
    y, bias = _convolve(x, conv, weight, bias)
    return _finish(y, shortcut, relu) if bias is None else _Epilogue.apply(y, bias, shortcut, relu, 1)[0]


def convolve_for_readers(
    x: Tensor, conv: nn.Conv2d, *, weight: Tensor, bias: Tensor, shortcut: Tensor
) -> tuple[Tensor, ...]:
    """Return relu(conv(x) + bias + shortcut) three times: for a block, its shortcut, and a pyramid.

    On CUDA the gradients of all three are added while the ReLU masks them, if the bias has none.
    """
    if fused := _convolve_fused(x, conv, weight, bias, shortcut, readers=READERS):
        return fused
    y, rest = _convolve(x, conv, weight, bias)
    if rest is not None:
        return _Epilogue.apply(y, rest, shortcut, True, READERS)
    return (_finish(y, shortcut, True),) * READERS


def _convolve_fused(
    x: Tensor, conv: nn.Conv2d, weight: Tensor | None, bias: Tensor | None, shortcut: Tensor | None, *, readers: int
) -> tuple[Tensor, ...] | None:
    """Return the rectified map of cuDNN's own fused kernel, None where there is no such kernel."""
    weight = conv.weight if weight is None else weight
    bias = conv.bias if bias is None else bias
    shape = (conv.stride, conv.padding, conv.dilation, conv.groups)
    if bias is None or not cudnn.can_fuse(x, weight, shape, shortcut):
        return None
    return cudnn.FusedConvolution.apply(x, weight.to(x.dtype), bias, shortcut, shape, readers)


def _convolve(x: Tensor, conv: nn.Conv2d, weight: Tensor | None, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Return the map and, if the kernel adds it, the bias; else it is in the map."""
    weight = conv.weight if weight is None else weight
    bias = conv.bias if bias is None else bias
    shape: tuple[Any, ...] = (conv.stride, conv.padding, conv.dilation, conv.groups)
    if bias is None or not runs_kernels(x):
        return F.conv2d(x, weight, bias, *shape), None
    y = F.conv2d(x, weight, None, *shape)
    return (y, bias) if is_channels_last(y) else (y + bias.to(y.dtype)[:, None, None], None)


def enlarge_and_add(coarse: Tensor, x: Tensor, conv: nn.Conv2d) -> Tensor:
    """Return conv(x) + coarse enlarged to its size by the nearest pixel: a step down the pyramid (FPN, figure 3)."""
    height, width = coarse.shape[-2:]
    if runs_kernels(x):
        shape: tuple[Any, ...] = (conv.stride, conv.padding, conv.dilation, conv.groups)
        y = F.conv2d(x, conv.weight, None, *shape)
        if is_channels_last(y) and y.shape[-2:] == (2 * height, 2 * width) and coarse.dtype == y.dtype:
            return _EnlargeAndAdd.apply(y, conv.bias, coarse)
        y = y if conv.bias is None else y + conv.bias.to(y.dtype)[:, None, None]
    else:
        y = conv(x)
    return y + enlarge(coarse, y.shape[-2:])


def enlarge(coarse: Tensor, size: torch.Size) -> Tensor:
    """Enlarge [B, C, h, w] to `size` by the nearest pixel."""
    if torch.compiler.is_compiling() and tuple(size) == (2 * coarse.shape[2], 2 * coarse.shape[3]):
        # inductor scatters the gradient of interpolate pixel by pixel; that of a repetition is a sum
        return coarse.repeat_interleave(2, 2).repeat_interleave(2, 3)
    return F.interpolate(coarse, size=size, mode="nearest")


def is_channels_last(y: Tensor) -> bool:
    return y.dtype in FLOATS and y.is_contiguous(memory_format=torch.channels_last)


def _finish(y: Tensor, shortcut: Tensor | None, relu: bool) -> Tensor:
    """Add the shortcut and rectify, in place: the gradient of a convolution does not read its output."""
    if shortcut is not None:
        y += shortcut
    return F.relu_(y) if relu else y


class _Epilogue(torch.autograd.Function):
    """relu(y + bias + shortcut) in one pass, returned to each reader; so is the gradient."""

    @staticmethod
    def forward(
        ctx: Any, y: Tensor, bias: Tensor, shortcut: Tensor | None, relu: bool, readers: int
    ) -> tuple[Tensor, ...]:
        from lineage.ops.layers import convolution_cuda  # Triton loads only where there is a GPU

        out = convolution_cuda.finish(y, bias, shortcut, relu)
        ctx.bias_type = bias.dtype
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(out if relu else None)
        return out, *(out.detach() for _ in range(readers - 1))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        from lineage.ops.layers import convolution_cuda

        (out,) = ctx.saved_tensors
        grad, *others = [grad for grad in grads if grad is not None]
        needs_bias = ctx.needs_input_grad[1]
        grad, bias_sums = convolution_cuda.finish_backward(grad, out, needs_bias, others)
        grad_bias = bias_sums.to(ctx.bias_type) if needs_bias else None
        return grad, grad_bias, grad if ctx.needs_input_grad[2] else None, None, None


class _EnlargeAndAdd(torch.autograd.Function):
    """y + bias + coarse enlarged, in one pass; the gradient of `coarse` sums 2 x 2 pixels and scatters nothing."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, bias: Tensor | None, coarse: Tensor) -> Tensor:
        from lineage.ops.layers import convolution_cuda

        ctx.bias_type = None if bias is None else bias.dtype
        return convolution_cuda.enlarge_and_add(y, bias, coarse)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        from lineage.ops.layers import convolution_cuda

        needs_bias = ctx.needs_input_grad[1]
        grad = grad.contiguous(memory_format=torch.channels_last)
        grad_bias = convolution_cuda.finish_backward(grad, None, True)[1].to(ctx.bias_type) if needs_bias else None
        return grad, grad_bias, convolution_cuda.sum_quads(grad) if ctx.needs_input_grad[2] else None
