"""A fully connected layer and its ReLU: relu(x W^T + b).

On CUDA bias and ReLU are the end of the product, and the gradient is masked and summed to that of the bias in one pass.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lineage.ops.layers.flat_linear import FlatLinear
from lineage.ops.layers.kernels import read_compute_type, runs_kernels


def linear_relu(x: Tensor, layer: nn.Module) -> Tensor:
    """Apply a layer to x [R, in_features], or a FlatLinear to what it takes, and rectify: [R, out_features]

    Layers that stand in the place of an nn.Linear, such as two of a lower rank, are called as they are.
    """
    if not isinstance(layer, nn.Linear):
        return F.relu(layer(x))
    x, weight = layer.arrange(x) if isinstance(layer, FlatLinear) else (x, layer.weight)
    if layer.bias is None or not (runs_kernels(x) and x.dtype == read_compute_type(x) and x.numel()):
        return F.relu(F.linear(x, weight, layer.bias))
    out: Tensor = _LinearReLU.apply(x, weight.to(x.dtype), layer.bias)
    return out


class _LinearReLU(torch.autograd.Function):
    """relu(x weight^T + bias)"""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        out = torch._addmm_activation(bias.to(x.dtype), x, weight.t())  # its activation is the ReLU
        ctx.bias_type = bias.dtype
        ctx.save_for_backward(x, weight, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        from lineage.ops.layers import convolution_cuda  # Triton loads only where there is a GPU

        x, weight, out = ctx.saved_tensors
        as_map = (..., None, None)  # [R, C, 1, 1]
        masked, sums = convolution_cuda.finish_backward(grad[as_map], out[as_map], needs_bias=True)
        masked = masked[..., 0, 0]
        grad_x = masked @ weight if ctx.needs_input_grad[0] else None
        grad_weight = masked.t() @ x if ctx.needs_input_grad[1] else None
        return grad_x, grad_weight, sums.to(ctx.bias_type)
