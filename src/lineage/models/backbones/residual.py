"""Residual blocks of torchvision: the branch of a block, scaled or started at 0."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck


def run_block(block: nn.Module, x: Tensor, scale: Tensor) -> Tensor:
    """Return relu(scale * branch + shortcut) of a residual block; x [B, C, H, W], scale [B]."""
    assert isinstance(block, BasicBlock | Bottleneck)
    branch = block.bn2(block.conv2(block.relu(block.bn1(block.conv1(x)))))
    if isinstance(block, Bottleneck):
        branch = block.bn3(block.conv3(block.relu(branch)))
    shortcut = x if block.downsample is None else block.downsample(x)
    return block.relu(branch * scale.to(branch.dtype)[:, None, None, None] + shortcut)


def stride_in_first_convolution(stages: Iterable[nn.Module]) -> None:
    """Move the stride of the bottlenecks that change it from the 3x3 to the 1x1 before it."""
    for stage in stages:
        first = next(stage.children())
        first.conv1.stride, first.conv2.stride = first.conv2.stride, first.conv1.stride


def zero_last_norms(stages: Iterable[nn.Module]) -> None:
    """Set the factors of the last norm of each block to 0 (Goyal et al., arXiv:1706.02677, section 5.1)."""
    for stage in stages:
        for block in stage.children():
            last_norm = block.bn3 if isinstance(block, Bottleneck) else block.bn2
            nn.init.zeros_(last_norm.weight)
