"""Upsampling by transposed convolutions: SimpleBaseline (arXiv:1804.06208, section 2), CenterNet (arXiv:1904.07850).

CenterNet's code has two: `res_N`, three transposed convolutions of 256 channels, and `resdcn_N`, which has a deformable
convolution before each and 256, 128 and 64 channels. They differ in three things. GluonCV's pair differs in one:
deformable or ordinary convolutions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from lineage.models.backbones.deformable_conv import DeformableConv
from lineage.models.backbones.init import gaussian
from lineage.models.backbones.norm import get_norm

CONVOLUTIONS = ("none", "plain", "deformable")
FILTERS = ("gaussian", "bilinear")


class Deconvolution(nn.Module):
    """The deepest map, enlarged twofold once per width; each step is normalized by `norm`.

    convolution: none, or a plain or deformable 3x3 before each transposed convolution, which then keeps the width.
    filters: initial transposed convolution: gaussian, of deviation 0.001, or bilinear, which interpolates each channel.
    """

    size_divisibility = 32  # of a test image's canvas, as in CenterNet's code
    stacks = 1

    def __init__(self, inputs: Sequence[int], *, widths: Sequence[int], convolution: str, filters: str, norm: str):
        super().__init__()
        if convolution not in CONVOLUTIONS:
            raise ValueError(f"upsampling.convolution={convolution}: choose one of {', '.join(CONVOLUTIONS)}")
        if filters not in FILTERS:
            raise ValueError(f"upsampling.filters={filters}: choose {' or '.join(FILTERS)}")
        self.channels = widths[-1]
        layers: list[nn.Module] = []
        for before, width in zip([inputs[-1], *widths], widths, strict=False):
            if convolution != "none":
                layers += build_convolution(before, width, norm, is_deformable=convolution == "deformable")
            enlarging = nn.ConvTranspose2d(
                before if convolution == "none" else width, width, 4, stride=2, padding=1, bias=False
            )
            if filters == "bilinear":
                fill_bilinear(enlarging)
            else:
                gaussian(0.001, enlarging)
            layers += [enlarging, get_norm(norm)(width), nn.ReLU()]
        self.layers = nn.Sequential(*layers)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """maps fine to coarse -> the coarsest one, enlarged: [B, channels, H, W]"""
        return [self.layers(maps[-1])]


def build_convolution(inputs: int, width: int, norm: str, *, is_deformable: bool) -> list[nn.Module]:
    """Return a 3x3 convolution, plain or deformable of version 2, its norm and ReLU."""
    convolution = nn.Conv2d(inputs, width, 3, padding=1, bias=is_deformable)
    layer = DeformableConv(convolution, version=2) if is_deformable else convolution
    return [layer, get_norm(norm)(width), nn.ReLU()]


@torch.no_grad()
def fill_bilinear(layer: nn.ConvTranspose2d) -> None:
    """Set a transposed convolution to bilinear interpolation of each channel.

    # deviates: CenterNet's code fills the filters of the first output alone, of a layer that is not depthwise; every
    # channel then feeds the first one and the others start random
    """
    side = layer.kernel_size[0]
    position = torch.arange(side) + 0.5 - side / 2
    line = 1 - position.abs() / layer.stride[0]
    weight = cast(Tensor, layer.weight)
    weight.zero_()
    channels = torch.arange(weight.shape[0])
    weight[channels, channels % weight.shape[1]] = line[:, None] * line
