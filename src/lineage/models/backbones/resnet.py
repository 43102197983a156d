"""ResNet (arXiv:1512.03385) and ResNeXt (arXiv:1611.05431) bodies that return the maps C2 to C5.

Blocks are torchvision's. Where a bottleneck strides follows its weights: the paper and MSRA's weights (Detectron,
detectron2) in the 1x1, torchvision's and ResNeXt's in the 3x3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from lineage.models.backbones import norm as norms
from lineage.models.backbones.deformable_conv import deform as deformable
from lineage.models.backbones.non_local import NonLocal
from lineage.structures import Images
from lineage.weights.pretrained import adopt, check_start
from lineage.weights.sources.table import Pixels

BLOCKS = {"basic": BasicBlock, "bottleneck": Bottleneck}


class Normalize(nn.Module):
    """RGB pixels of 0 to 255 -> what the weights were trained on; padding becomes 0."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)

    def forward(self, images: Images) -> Tensor:
        """-> [B, 3, H, W] float32"""
        height, width = images.pixels.shape[-2:]
        rows = torch.arange(height, device=images.sizes.device) < images.sizes[:, :1]
        columns = torch.arange(width, device=images.sizes.device) < images.sizes[:, 1:]
        content = (rows[:, :, None] & columns[:, None, :])[:, None]
        return torch.where(content, (images.pixels.float() - self.mean) / self.std, 0.0)


class ResNet(nn.Module):
    """The body. `frozen_stages` counts from the stem: 2 keeps stem and conv2_x as they came (Detectron's FREEZE_AT).

    `deform` and `non_local` name stages as papers do, 2 to 5: which have deformable 3x3 convolutions, and which a
    non-local block before their last residual block.
    """

    def __init__(
        self,
        *,
        block: str,
        layers: Sequence[int],
        planes: int,
        groups: int,
        width: int,
        stride_in: str,
        norm: str,
        deform: Sequence[int],
        deform_version: int,
        non_local: Sequence[int],
        frozen_stages: int,
        weights: str | None,
        mean: Sequence[float],
        std: Sequence[float],
    ):
        super().__init__()
        check_start(norm, frozen_stages, weights)
        _check_shape(block, layers, stride_in, deform, non_local)
        layer = norms.norm(norm)
        self.normalize = Normalize(mean, std)
        self.stem = nn.Sequential(
            nn.Conv2d(3, planes, 7, stride=2, padding=3, bias=False), layer(planes), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        )
        inputs = [planes, *(planes * 2**level * BLOCKS[block].expansion for level in range(4))]
        self.stages = nn.ModuleList(
            _stage(
                BLOCKS[block], inputs[level], planes * 2**level, blocks, 1 if level == 0 else 2, groups, width, layer
            )
            for level, blocks in enumerate(layers)
        )
        if stride_in == "1x1" and block == "bottleneck":  # basic blocks have no 1x1
            for stage in self.stages:
                stage[0].conv1.stride, stage[0].conv2.stride = stage[0].conv2.stride, stage[0].conv1.stride
        self.channels = inputs[1:]
        self.apply(_initialise)
        for number in deform:
            deformable(self.stages[number - 2], deform_version)
        self.relations = nn.ModuleDict({str(number): NonLocal(inputs[number - 1]) for number in non_local})
        if weights is not None:
            adopt(self, weights, pixels(mean, std), fresh=("relations.", ".offset."))
        for stage in [self.stem, *self.stages][:frozen_stages]:
            stage.requires_grad_(False)

    def forward(self, images: Images) -> list[Tensor]:
        """-> maps at strides 4, 8, 16, 32, fine to coarse: [B, channels[i], H / stride, W / stride]"""
        x = self.stem(self.normalize(images))
        maps = []
        for number, stage in enumerate(self.stages, 2):
            x = self._run(stage, str(number), x)
            maps.append(x)
        return maps

    def _run(self, stage: nn.Sequential, number: str, x: Tensor) -> Tensor:
        if number not in self.relations:
            return stage(x)
        *blocks, last = stage
        for block in blocks:
            x = block(x)
        return last(self.relations[number](x))


def _stage(
    block: type[nn.Module],
    inputs: int,
    planes: int,
    blocks: int,
    stride: int,
    groups: int,
    width: int,
    norm: Callable[[int], nn.Module],
) -> nn.Sequential:
    """conv2_x ... conv5_x: the first block changes stride and width, through a projection shortcut."""
    outputs = planes * block.expansion
    shortcut = None
    if stride != 1 or inputs != outputs:
        shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), norm(outputs))
    first = block(inputs, planes, stride, shortcut, groups, width, 1, norm)
    rest = [block(outputs, planes, 1, None, groups, width, 1, norm) for _ in range(blocks - 1)]
    return nn.Sequential(first, *rest)


def pixels(mean: Sequence[float], std: Sequence[float]) -> Pixels:
    return Pixels((mean[0], mean[1], mean[2]), (std[0], std[1], std[2]))


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def _check_shape(
    block: str, layers: Sequence[int], stride_in: str, deform: Sequence[int], non_local: Sequence[int]
) -> None:
    if block not in BLOCKS or stride_in not in ("1x1", "3x3"):
        raise ValueError(f"backbone.block={block} is one of {', '.join(BLOCKS)}, stride_in={stride_in} 1x1 or 3x3")
    for name, stages in (("deform", deform), ("non_local", non_local)):
        if not set(stages) <= {2, 3, 4, 5}:
            raise ValueError(f"backbone.{name}={list(stages)}: stages are numbered 2 to 5, as conv2_x to conv5_x")
    if any(layers[number - 2] < 2 for number in non_local):
        raise ValueError(
            f"backbone.non_local={list(non_local)}: a non-local block stands before the last of several residual "
            f"blocks, and backbone.layers={list(layers)}: choose a deeper backbone, such as mini_deep"
        )
