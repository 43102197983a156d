"""A fully connected layer over all bins of a region."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lineage.ops.layers.kernels import runs_kernels


class FlatLinear(nn.Linear):
    """nn.Linear over regions, flattened or not: [R, C, s, s] or [R, C * s * s] -> [R, out_features]

    On CUDA regions lie bin after bin in memory, while weights expect channel after channel. There the weights are
    reordered, in the pass that casts them: they are fewer than the values of the regions.
    """

    def forward(self, regions: Tensor) -> Tensor:
        is_by_bin = regions.dim() == 4 and regions.is_contiguous(memory_format=torch.channels_last)
        if not (is_by_bin and runs_kernels(regions)):
            return super().forward(regions.flatten(1))
        by_channel = self.weight.unflatten(1, (regions.shape[1], -1))
        by_bin = by_channel.transpose(1, 2).to(regions.dtype, memory_format=torch.contiguous_format, copy=True)
        return F.linear(regions.permute(0, 2, 3, 1).flatten(1), by_bin.flatten(1), self.bias)
