"""Pixel normalisation: the first layer of every backbone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lineage.structures import Images


class Normalize(nn.Module):
    """RGB pixels of 0 to 255, minus the mean, over the deviation of the weights' training data; padding becomes 0.

    On a CPU the result is channels_last in memory, the faster layout of convolutions, which keep it to the heads.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)

    def forward(self, images: Images) -> Tensor:
        """-> [B, 3, H, W] float32"""
        height, width = images.pixels.shape[-2:]
        rows = torch.arange(height, device=images.sizes.device) < images.sizes[:, :1]
        columns = torch.arange(width, device=images.sizes.device) < images.sizes[:, 1:]
        content = (rows[:, :, None] & columns[:, None, :])[:, None]
        normalized = torch.where(content, (images.pixels.float() - self.mean) / self.std, 0.0)
        if normalized.device.type == "cpu" and not torch.compiler.is_compiling():
            return normalized.contiguous(memory_format=torch.channels_last)
        return normalized
