"""Deformable convolution (arXiv:1703.06211, section 2.1) and version 2 with modulation (arXiv:1811.11168, 2.2).

A small convolution beside the layer says, per position, where each of its taps looks, and in version 2 how much it
counts. Both start so that the layer does what it did before: offsets 0; modulation 1 in the sum.
"""

from __future__ import annotations

from typing import Any

import torchvision
from torch import Tensor, nn


class DeformableConv(nn.Module):
    """In place of a 3x3 convolution, with its weight under the same name, so pretrained bodies load into it."""

    def __init__(self, plain: nn.Conv2d, *, version: int):
        super().__init__()
        if version not in (1, 2):
            raise ValueError(f"backbone.deform_version={version} is unknown; choose 1 or 2")
        self.weight, self.bias = plain.weight, plain.bias
        self.stride, self.padding, self.dilation = plain.stride, plain.padding, plain.dilation
        taps = plain.kernel_size[0] * plain.kernel_size[1]
        numbers = 2 * taps if version == 1 else 3 * taps
        geometry: Any = (plain.kernel_size, plain.stride, plain.padding, plain.dilation)
        self.offset = nn.Conv2d(plain.in_channels, numbers, *geometry)
        for start in self.offset.parameters():
            nn.init.zeros_(start)
        self.version, self.taps = version, taps

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, H, W] -> [B, outputs, H / stride, W / stride]"""
        field = self.offset(x)
        mask = None
        if self.version == 2:  # sigmoid(0) = 1/2 per tap would halve the layer: doubled, it starts as a plain one
            # deviates: papers and detectron2 start at 1/2 and let training undo it; here a pretrained body starts equal
            field, mask = field.split((2 * self.taps, self.taps), 1)
            mask = 2 * mask.sigmoid()
        return torchvision.ops.deform_conv2d(
            x, field, self.weight, self.bias, self.stride, self.padding, self.dilation, mask
        )


def deform(stage: nn.Sequential, version: int) -> None:
    """The 3x3 convolution of every bottleneck becomes deformable, as in the papers; of basic blocks the second."""
    for block in stage:
        block.conv2 = DeformableConv(block.conv2, version=version)
