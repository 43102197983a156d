"""A fully connected layer over all bins of a region."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lineage.ops.layers.kernels import runs_kernels
from lineage.ops.layers.prepared_weights import take_buffer


class FlatLinear(nn.Linear):
    """nn.Linear over regions, flattened or not: [R, C, s, s] or [R, C * s * s] -> [R, out_features]

    On CUDA regions lie bin after bin in memory, while weights expect channel after channel. There the weights are
    reordered, in the pass that casts them: they are fewer than the values of the regions.
    """

    def forward(self, regions: Tensor) -> Tensor:
        x, weight = self.arrange(regions)
        return F.linear(x, weight, self.bias)

    def arrange(self, regions: Tensor) -> tuple[Tensor, Tensor]:
        """Return regions [R, C * s * s] and weights in one order of bins and channels, that of the device's memory."""
        is_by_bin = regions.dim() == 4 and regions.is_contiguous(memory_format=torch.channels_last)
        if not (is_by_bin and runs_kernels(regions) and runs_kernels(self.weight)):
            return regions.flatten(1), self.weight
        by_bin: Tensor = _OrderByBin.apply(self.weight, regions.shape[1], regions.dtype)
        return regions.permute(0, 2, 3, 1).flatten(1), by_bin


class _OrderByBin(torch.autograd.Function):
    """Weights [O, C * s * s] over (channel, bin) as [O, s * s * C] over (bin, channel), in another type."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, channels: int, dtype: torch.dtype) -> Tensor:
        from lineage.ops.layers import flat_linear_cuda  # Triton loads only where there is a GPU

        ctx.channels, ctx.weight = channels, weight
        return flat_linear_cuda.transpose(weight.contiguous().unflatten(1, (channels, -1)), dtype).flatten(1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        from lineage.ops.layers import flat_linear_cuda

        by_bin = grad.contiguous().unflatten(1, (-1, ctx.channels))
        buffer = take_buffer(ctx.weight)
        if buffer is not None and not buffer.is_contiguous():
            buffer = None
        return flat_linear_cuda.transpose(by_bin, ctx.weight.dtype, buffer).flatten(1), None, None
