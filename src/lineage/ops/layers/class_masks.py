"""The mask of each region's class: the filter w of the class applied to relu(x + b), and nothing else computed.

On CUDA bias, ReLU, filter and their gradients are one kernel each way: the rectified map, the largest of a mask head,
is never written.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lineage.ops.layers.kernels import runs_kernels


def enlarge_and_filter(x: Tensor, layer: nn.ConvTranspose2d, filters: Tensor) -> Tensor:
    """Return sum_c relu(layer(x))_c * filters_c: x [R, I, M, M], filters [R, C] -> [R, M', M'] float32"""
    if runs_kernels(x) and layer.bias is not None and x.numel():
        shape: tuple[Any, ...] = (layer.stride, layer.padding, layer.output_padding, layer.groups, layer.dilation)
        y = F.conv_transpose2d(x, layer.weight, None, *shape)
        if runs_kernels(y) and y.is_contiguous(memory_format=torch.channels_last):
            masks: Tensor = _Filter.apply(y, layer.bias, filters)
            return masks
        hidden = F.relu(y + layer.bias.to(y.dtype)[:, None, None])
    else:
        hidden = F.relu(layer(x))
    return torch.einsum("rchw,rc->rhw", hidden, filters.to(hidden.dtype)).float()


class _Filter(torch.autograd.Function):
    """sum_c relu(y + bias)_c * filters_c"""

    @staticmethod
    def forward(ctx: Any, y: Tensor, bias: Tensor, filters: Tensor) -> Tensor:
        from lineage.ops.layers import class_masks_cuda  # Triton loads only where there is a GPU

        ctx.save_for_backward(y, bias, filters)
        return class_masks_cuda.apply_filters(y, bias, filters)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        from lineage.ops.layers import class_masks_cuda

        y, bias, filters = ctx.saved_tensors
        grad_y, grad_bias, grad_filters = class_masks_cuda.apply_filters_backward(grad, y, bias, filters)
        return grad_y, grad_bias.to(bias.dtype), grad_filters.to(filters.dtype)
