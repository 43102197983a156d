"""Deep layer aggregation, DLA-34 (arXiv:1707.06484): blocks whose outputs are merged in trees.

Section 3.1: iterative aggregation joins the stages, hierarchical aggregation joins the blocks within one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lineage.models.backbones.norm import get_norm
from lineage.models.backbones.normalize import Normalize
from lineage.structures import Images
from lineage.weights.pretrained import check_start, load_backbone
from lineage.weights.sources.table import PixelNormalization


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut that the tree hands in."""

    def __init__(self, inputs: int, outputs: int, stride: int, norm: str):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = get_norm(norm)(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = get_norm(norm)(outputs)

    def forward(self, x: Tensor, shortcut: Tensor) -> Tensor:
        """x [B, inputs, H, W], shortcut [B, outputs, H / stride, W / stride] -> as the shortcut"""
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + shortcut)


class Root(nn.Module):
    """The node that merges the outputs of its children by a 1x1 convolution."""

    def __init__(self, inputs: int, outputs: int, norm: str):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.bn = get_norm(norm)(outputs)

    def forward(self, children: Sequence[Tensor]) -> Tensor:
        return F.relu(self.bn(self.conv(torch.cat([*children], 1))))


class Tree(nn.Module):
    """A binary tree of blocks, `levels` high (figure 3c); the first half of the tree strides.

    extra: channels of maps from outside that the root merges as well.
    root_input: whether the root merges the input of the tree, pooled.
    """

    def __init__(self, levels: int, inputs: int, outputs: int, *, stride: int, extra: int, root_input: bool, norm: str):
        super().__init__()
        self.root_input, self.levels, self.stride = root_input, levels, stride
        merged = extra + (inputs if root_input else 0)
        self.tree1: nn.Module
        self.tree2: nn.Module
        if levels == 1:
            self.tree1 = Block(inputs, outputs, stride, norm)
            self.tree2 = Block(outputs, outputs, 1, norm)
            self.root: nn.Module | None = Root(2 * outputs + merged, outputs, norm)
        else:
            build = partial(Tree, levels - 1, outputs=outputs, root_input=False, norm=norm)
            self.tree1 = build(inputs=inputs, stride=stride, extra=0)
            self.tree2 = build(inputs=outputs, stride=1, extra=merged + outputs)
            self.root = None
        self.project = (
            nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), get_norm(norm)(outputs))
            if inputs != outputs and levels == 1
            else None
        )

    def forward(self, x: Tensor, children: Sequence[Tensor] = ()) -> Tensor:
        """x [B, inputs, H, W] -> [B, outputs, H / stride, W / stride]"""
        pooled = F.max_pool2d(x, self.stride) if self.stride > 1 else x
        if self.root_input:
            children = [*children, pooled]
        if self.root is None:
            first = self.tree1(x)
            return self.tree2(first, [*children, first])
        shortcut = pooled if self.project is None else self.project(pooled)
        first = self.tree1(x, shortcut)
        second = self.tree2(first, first)
        return self.root([second, first, *children])


class DLA(nn.Module):
    """Body with maps of strides 4, 8, 16 and 32.

    levels: of each stage: convolutions of the first two, height of the tree of the others.
    widths: of each stage.
    """

    def __init__(
        self,
        *,
        levels: Sequence[int],
        widths: Sequence[int],
        norm: str,
        frozen_stages: int,
        weights: str | None,
        mean: Sequence[float],
        std: Sequence[float],
    ):
        super().__init__()
        check_start(norm, frozen_stages, weights)
        self.normalize = Normalize(mean, std)
        self.stem = nn.Sequential(
            nn.Conv2d(3, widths[0], 7, padding=3, bias=False), get_norm(norm)(widths[0]), nn.ReLU()
        )
        self.plain = nn.ModuleList(
            _build_convolutions(inputs, outputs, count, stride, norm)
            for inputs, outputs, count, stride in zip((widths[0], widths[0]), widths, levels, (1, 2), strict=False)
        )
        self.stages = nn.ModuleList(
            Tree(height, inputs, outputs, stride=2, extra=0, root_input=number > 0, norm=norm)
            for number, (height, inputs, outputs) in enumerate(zip(levels[2:], widths[1:], widths[2:], strict=False))
        )
        self.channels = list(widths[2:])
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if weights is not None:
            load_backbone(self, weights, PixelNormalization.of(mean, std))
        nn.ModuleList([nn.ModuleList([self.stem, *self.plain]), *self.stages][:frozen_stages]).requires_grad_(False)

    def forward(self, images: Images) -> list[Tensor]:
        """-> maps at strides 4, 8, 16, 32: [B, channels[i], H / stride, W / stride]"""
        x = self.stem(self.normalize(images))
        for layers in self.plain:
            x = layers(x)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps

    def list_layers(self) -> list[nn.Module]:
        """Return the stem, the plain stages and the trees."""
        return [self.stem, *self.plain, *self.stages]


def _build_convolutions(inputs: int, outputs: int, count: int, stride: int, norm: str) -> nn.Sequential:
    """Build `count` 3x3 convolutions, of which the first strides."""
    layers: list[nn.Module] = []
    for number in range(count):
        convolution = nn.Conv2d(
            inputs if number == 0 else outputs, outputs, 3, stride=stride if number == 0 else 1, padding=1, bias=False
        )
        layers += [convolution, get_norm(norm)(outputs), nn.ReLU()]
    return nn.Sequential(*layers)
