"""The neck of detectors without a pyramid: C4, C5, and plain networks."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class LastMap(nn.Module):
    """The deepest map alone, as in Faster R-CNN (arXiv:1506.01497)."""

    size_divisibility = 1  # of a test image's canvas: the papers' code pads no single image without a pyramid

    def __init__(self, inputs: Sequence[int]):
        super().__init__()
        self.channels = inputs[-1]

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """maps fine to coarse -> the last one"""
        return maps[-1:]
