"""Feature Pyramid Networks (arXiv:1612.03144), section 3: lateral 1x1, top-down nearest x2, smoothing 3x3."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from lineage.models.initialise import xavier


class FPN(nn.Module):
    """C2..C5 -> P2..P6, all of the same width; P6 is P5 subsampled (footnote of section 4.1)."""

    def __init__(self, inputs: Sequence[int], *, channels: int):
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in inputs)
        self.smooth = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in inputs)
        self.channels = channels
        xavier(*self.lateral, *self.smooth)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """maps fine to coarse [B, inputs[i], H_i, W_i] -> one more than given, [B, channels, H_i, W_i]"""
        merged = [lateral(x) for lateral, x in zip(self.lateral, maps, strict=True)]
        for finer in range(len(merged) - 2, -1, -1):
            coarse = F.interpolate(merged[finer + 1], size=merged[finer].shape[-2:], mode="nearest")
            merged[finer] = merged[finer] + coarse
        pyramid = [smooth(x) for smooth, x in zip(self.smooth, merged, strict=True)]
        return [*pyramid, F.max_pool2d(pyramid[-1], 1, stride=2)]


class Last(nn.Module):
    """No pyramid: the deepest map alone, as Faster R-CNN had it (C4)."""

    def __init__(self, inputs: Sequence[int]):
        super().__init__()
        self.channels = inputs[-1]

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        return maps[-1:]
