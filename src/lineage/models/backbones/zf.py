"""ZF, the fast body of SPPnet and Faster R-CNN (arXiv:1506.01497): five convolutions after Zeiler and Fergus
(arXiv:1311.2901), normalised within each channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import torch.nn.functional as F
from torch import Tensor, nn

from lineage.models.backbones.caffenet import rename_blobs
from lineage.models.backbones.plain import PlainBackbone, PlainOptions, convolution, plain_backbone


class WithinChannel(nn.Module):
    """Local response over a window of pixels instead of channels: x / (1 + alpha mean(x^2))^beta."""

    def __init__(self, *, window: float, alpha: float, beta: float):
        super().__init__()
        self.window, self.alpha, self.beta = int(window), alpha, beta

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, H, W] -> the same shape"""
        power = F.avg_pool2d(x * x, self.window, stride=1, padding=(self.window - 1) // 2)
        return x * (1 + self.alpha * power) ** -self.beta


def zf(
    *,
    channels: Sequence[int],
    strides: Sequence[int],
    lrn: dict[str, float],
    norm: str | None,
    **options: Unpack[PlainOptions],
) -> PlainBackbone:
    """Build ZF. `strides` are those of conv1 and conv2, each followed by a pool of stride 2.

    `options`: see plain_backbone.
    """
    a, b, c, d, e = channels
    layers: dict[str, nn.Module] = {
        **convolution("conv1", 3, a, 7, stride=strides[0], padding=3, norm=norm),
        "norm1": WithinChannel(**lrn),
        "pool1": nn.MaxPool2d(3, 2, padding=1, ceil_mode=True),
        **convolution("conv2", a, b, 5, stride=strides[1], padding=2, norm=norm),
        "norm2": WithinChannel(**lrn),
        "pool2": nn.MaxPool2d(3, 2, padding=1, ceil_mode=True),
        **convolution("conv3", b, c, 3, padding=1, norm=norm),
        **convolution("conv4", c, d, 3, padding=1, norm=norm),
        **convolution("conv5", d, e, 3, padding=1, norm=norm),
    }
    return plain_backbone(layers, rename_blobs, options)
