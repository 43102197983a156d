"""A predictor of dense maps: CenterNet (arXiv:1904.07850), section 5: a 3x3 convolution, ReLU, a 1x1 convolution."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from lineage.models.backbones.init import gaussian


class Branch(nn.Sequential):
    """[B, channels, H, W] -> [B, outputs, H, W]; `width` is CenterNet's head_conv."""

    def __init__(self, channels: int, outputs: int, *, width: int, bias: float | None = None):
        """bias: initial logit of heat maps; None: outputs are regressed and start near 0."""
        last = nn.Conv2d(width, outputs, 1)
        super().__init__(nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(), last)
        if bias is None:
            gaussian(0.001, last)
        else:
            nn.init.constant_(cast(Tensor, last.bias), bias)
