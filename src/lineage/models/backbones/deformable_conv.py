"""Deformable convolution (arXiv:1703.06211, section 2.1) and version 2 with modulation (arXiv:1811.11168, 2.2).

A small convolution predicts, per position, an offset of each tap of the kernel, and in version 2 its weight
(modulation). It starts with offsets of 0 and modulations of 1, so that the layer first computes what it did before.
"""

from __future__ import annotations

from typing import Any

import torchvision
from torch import Tensor, nn


class DeformableConv(nn.Module):
    """Deformable version of a 3x3 convolution. The weight has the same name, so that pretrained weights load."""

    def __init__(self, convolution: nn.Conv2d, *, version: int):
        super().__init__()
        if version not in (1, 2):
            raise ValueError(f"backbone.deform_version={version} is unknown; choose 1 or 2")
        self.weight, self.bias = convolution.weight, convolution.bias
        self.stride, self.padding, self.dilation = convolution.stride, convolution.padding, convolution.dilation
        taps = convolution.kernel_size[0] * convolution.kernel_size[1]
        outputs = 2 * taps if version == 1 else 3 * taps
        geometry: Any = (convolution.kernel_size, convolution.stride, convolution.padding, convolution.dilation)
        self.offset = nn.Conv2d(convolution.in_channels, outputs, *geometry)
        for parameter in self.offset.parameters():
            nn.init.zeros_(parameter)
        self.version, self.taps = version, taps

    def list_offset_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of the filters that predict offsets and modulations: `optimizer.offset_lr_factor`."""
        return list(self.offset.parameters())

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, H, W] -> [B, outputs, H / stride, W / stride]"""
        offsets = self.offset(x)
        mask = None
        if self.version == 2:  # sigmoid(0) = 1/2 per tap would halve the layer: doubled, it starts as an ordinary one
            # deviates: papers and detectron2 start at 1/2 and let training undo it; here a pretrained body starts equal
            offsets, mask = offsets.split((2 * self.taps, self.taps), 1)
            mask = 2 * mask.sigmoid()
        return torchvision.ops.deform_conv2d(
            x, offsets, self.weight, self.bias, self.stride, self.padding, self.dilation, mask
        )


def make_deformable(stage: nn.Sequential, version: int) -> None:
    """Replace conv2 of every block: the 3x3 of a bottleneck, as in the papers; the second of a basic block."""
    for block in stage:
        block.conv2 = DeformableConv(block.conv2, version=version)
