"""The larger box body, 4conv1fc: Group Normalization (arXiv:1803.08494), section 5.2."""

from __future__ import annotations

from torch import Tensor, nn

from lineage.models.backbones.init import xavier
from lineage.models.roi_heads.mask_head import ConvStack
from lineage.ops.layers.flat_linear import FlatLinear
from lineage.ops.layers.rectified_linear import linear_relu


class ConvFC(nn.Module):
    """`depth` 3x3 convolutions of `width`, with `norm` unless null, then one layer: [R, C, s, s] -> [R, fc]"""

    def __init__(self, channels: int, size: int, *, depth: int, width: int, norm: str | None, fc: int):
        super().__init__()
        self.convolutions = ConvStack(channels, size, depth=depth, width=width, norm=norm)
        self.fc = FlatLinear(width * size**2, fc)
        self.channels = fc
        xavier(self.fc)

    def forward(self, regions: Tensor) -> Tensor:
        return linear_relu(self.convolutions(regions), self.fc)
