"""SPyNet (arXiv:1611.00850): the flow of a coarse level, doubled and warped by, is corrected at the next finer one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lineage.ops.warp import warp_backward
from lineage.structures import FramePairs


class SPyNet(nn.Module):
    """Estimator of the flow between two frames.

    levels    of the pyramid, each with a network of its own
    channels  between the layers of a network: (32, 64, 32, 16) in the paper
    """

    def __init__(
        self, *, levels: int, channels: Sequence[int], kernel_size: int, mean: Sequence[float], std: Sequence[float]
    ) -> None:
        super().__init__()
        self.corrections = nn.ModuleList(make_correction(channels, kernel_size) for _ in range(levels))
        self.register_buffer("mean", torch.tensor(list(mean)).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(list(std)).view(3, 1, 1), persistent=False)
        self.mean: Tensor
        self.std: Tensor

    def forward(self, first: Tensor, second: Tensor, pairs: FramePairs) -> tuple[Tensor, Tensor]:
        """Return the flows [B, 2, H, W] from the first frame [B, 3, H, W] to the second and back."""
        both = torch.cat((first, second)), torch.cat((second, first))
        forward, backward = self.estimate(*both).chunk(2)
        return forward, backward

    def estimate(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the flow [B, 2, H, W] from frames [B, 3, H, W] in 0..1 to others."""
        # 1. Two pyramids, the coarsest level first.
        pyramid = [((first - self.mean) / self.std, (second - self.mean) / self.std)]
        while len(pyramid) < len(self.corrections):
            if min(pyramid[0][0].shape[-2:]) < 2:
                break
            pyramid.insert(0, (F.avg_pool2d(pyramid[0][0], 2), F.avg_pool2d(pyramid[0][1], 2)))
        # 2. Nothing moves at half the coarsest level; each level doubles the flow and corrects it.
        height, width = pyramid[0][0].shape[-2:]
        flow = first.new_zeros(len(first), 2, height // 2, width // 2)
        for correction, (ours, theirs) in zip(self.corrections[-len(pyramid) :], pyramid, strict=True):
            doubled = double(flow, ours.shape[-2:])
            flow = correction(torch.cat((ours, warp_backward(theirs, doubled), doubled), 1)) + doubled
        return flow


def make_correction(channels: Sequence[int], kernel_size: int) -> nn.Sequential:
    """Return the network of a level: two frames and a flow, 8 channels, become a flow."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise([8, *channels, 2]):
        layers += [nn.Conv2d(inputs, outputs, kernel_size, padding=kernel_size // 2), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def double(flow: Tensor, size: Sequence[int]) -> Tensor:
    """Return the flow [B, 2, h, w] at twice the size, or one pixel more where a side of `size` is odd."""
    height, width = flow.shape[-2:]
    if min(height, width) == 0:
        return flow.new_zeros(len(flow), 2, *size)
    doubled = 2 * F.interpolate(flow, (2 * height, 2 * width), mode="bilinear", align_corners=True)
    return F.pad(doubled, (0, size[1] - 2 * width, 0, size[0] - 2 * height), mode="replicate")
