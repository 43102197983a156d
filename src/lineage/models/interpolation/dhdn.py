"""DHDN (Park, Yu and Jeong, CVPRW 2019): a U-Net of residual blocks that are densely connected, or plain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Block: TypeAlias = Literal["dense", "plain"]


class DHDN(nn.Module):
    """U-Net with four halvings, so that both sides of its input are multiples of 16.

    width   channels of the finest level; each halving doubles them
    block   dense: each convolution of a block reads all before it; plain: two convolutions
    inputs  channels of the input
    """

    def __init__(self, *, width: int, block: Block, inputs: int = 6) -> None:
        super().__init__()
        make_block = BLOCKS[block]
        widths = [width * 2**level for level in range(4)]
        bottom = 16 * width
        self.enter = convolve(inputs, width, 1)
        self.encoders = nn.ModuleList(make_block(channels) for channels in widths)
        self.halvings = nn.ModuleList(convolve(channels, 2 * channels, 1) for channels in widths)
        self.bottom = make_block(bottom)
        self.rise = convolve(2 * bottom, 2 * bottom, 1)
        self.decoders = nn.ModuleList(make_block(2 * channels) for channels in reversed(widths))
        self.doublings = nn.ModuleList(convolve(2 * channels, 2 * channels, 1) for channels in reversed(widths[1:]))
        self.leave = convolve(2 * width, width, 1)
        self.output = convolve(width, 3, 1)  # deviates: from usual image networks; a PReLU ends it, as in the code

    def forward(self, images: Tensor) -> Tensor:
        """Return images [B, 3, H, W] of [B, inputs, H, W]."""
        # 1. Down: a block, then half the size and twice the channels.
        entered = features = self.enter(images)
        skipped = []
        for encoder, halving in zip(self.encoders, self.halvings, strict=True):
            features = encoder(features)
            skipped.append(features)
            features = halving(F.max_pool2d(features, 2))
        # 2. The bottom, its input beside its output.
        features = F.pixel_shuffle(self.rise(torch.cat((features, self.bottom(features)), 1)), 2)
        # 3. Up: beside what the way down had at this size.
        for level, decoder in enumerate(self.decoders):
            features = decoder(torch.cat((skipped.pop(), features), 1))
            if level < len(self.doublings):
                features = F.pixel_shuffle(self.doublings[level](features), 2)
        return self.output(self.leave(features) + entered)


class DenseBlock(nn.Module):
    """Three convolutions that read the input and all outputs before, and the input added to the last."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = convolve(channels, channels // 2, 3)
        self.second = convolve(channels + channels // 2, channels // 2, 3)
        self.third = convolve(2 * channels, channels, 3)

    def forward(self, features: Tensor) -> Tensor:
        first = torch.cat((features, self.first(features)), 1)
        second = torch.cat((first, self.second(first)), 1)
        return features + self.third(second)


class PlainBlock(nn.Module):
    """Two convolutions, and the input added to the second."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = convolve(channels, channels, 3)
        self.second = convolve(channels, channels, 3)

    def forward(self, features: Tensor) -> Tensor:
        return features + self.second(self.first(features))


BLOCKS: dict[str, Callable[[int], nn.Module]] = {"dense": DenseBlock, "plain": PlainBlock}


def convolve(inputs: int, outputs: int, kernel_size: int) -> nn.Sequential:
    """Return a convolution with a bias, and a PReLU with one slope for all channels."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel_size, padding=kernel_size // 2), nn.PReLU())
