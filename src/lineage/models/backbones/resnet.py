"""ResNet (arXiv:1512.03385) and ResNeXt (arXiv:1611.05431) bodies that return the maps C2 to C5.

Blocks are torchvision's, with their norms folded. Where a bottleneck strides follows its weights: the paper and MSRA's
weights (Detectron, detectron2) in the 1x1, torchvision's and ResNeXt's in the 3x3.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor, nn

from lineage.models.backbones.deformable_conv import make_deformable
from lineage.models.backbones.non_local import NonLocal
from lineage.models.backbones.norm import FrozenBatchNorm, convolve_and_normalize, get_norm
from lineage.models.backbones.normalize import Normalize
from lineage.models.backbones.residual_blocks import BasicBlock, Bottleneck, run_blocks
from lineage.ops.layers.stem import run_fused_stem, runs_fused_stem
from lineage.structures import Images
from lineage.weights.pretrained import check_start, load_backbone
from lineage.weights.sources.table import PixelNormalization

OPTIONAL = ("relations.", ".offset.")  # parts of a body that published weights lack
PAPER_WIDTH = 64  # channels of the stem of every published ResNet
log = logging.getLogger(__name__)

BLOCKS: dict[str, type[BasicBlock] | type[Bottleneck]] = {"basic": BasicBlock, "bottleneck": Bottleneck}


class ResNet(nn.Module):
    """ResNet or ResNeXt body with maps C2 to C5.

    block: basic or bottleneck.
    layers: residual blocks per stage.
    base_channels: width of the stem; stage i has base_channels * 2**i, four times that after a bottleneck.
    groups, width_per_group: of the 3x3 convolution of a bottleneck; 1 and 64 are a ResNet's.
    stride_in: 1x1 or 3x3, the convolution of a bottleneck that strides.
    deform: stages 2 to 5 (numbers as in the papers) whose 3x3 convolutions are deformable.
    non_local: stages with a non-local block before their last residual block.
    frozen_stages: counted from the stem; 2 freezes the stem and conv2_x (Detectron's FREEZE_AT).
    """

    def __init__(
        self,
        *,
        block: str,
        layers: Sequence[int],
        base_channels: int,
        groups: int,
        width_per_group: int,
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
        _warn_of_few_groups(norm, base_channels)
        layer = get_norm(norm)
        build_block = partial(BLOCKS[block], groups=groups, base_width=width_per_group, norm_layer=layer)
        self.normalize = Normalize(mean, std)
        self.stem = _stem(base_channels, layer)
        planes = [base_channels * 2**level for level in range(4)]
        self.channels = [width * BLOCKS[block].expansion for width in planes]
        inputs = [base_channels, *self.channels]
        widths = zip(inputs, planes, self.channels, strict=False)
        self.stages = nn.ModuleList(
            _stage(build_block, layer, width, depth=depth, stride=2 if level else 1)
            for level, (width, depth) in enumerate(zip(widths, layers, strict=True))
        )
        for stage in self.stages if stride_in == "1x1" and block == "bottleneck" else ():
            stage[0].conv1.stride, stage[0].conv2.stride = stage[0].conv2.stride, stage[0].conv1.stride
        self.apply(_initialize)
        for number in deform:
            make_deformable(self.stages[number - 2], deform_version)
        self.relations = nn.ModuleDict({str(number): NonLocal(inputs[number - 1]) for number in non_local})
        if weights is not None:
            strides = stride_in if block == "bottleneck" else None  # basic blocks have no 1x1
            load_backbone(self, weights, PixelNormalization.of(mean, std), optional=OPTIONAL, stride_in=strides)
        for stage in [self.stem, *self.stages][:frozen_stages]:
            stage.requires_grad_(False)

    def forward(self, images: Images) -> list[Tensor]:
        """-> maps at strides 4, 8, 16, 32, fine to coarse: [B, channels[i], H / stride, W / stride]"""
        x = skipped = self._run_stem(images)
        maps = []
        for number, stage in enumerate(self.stages, 2):
            x, skipped = self._run(stage, str(number), x, skipped)
            maps.append(skipped)
            skipped = x
        return maps

    def _run_stem(self, images: Images) -> Tensor:
        """-> [B, base_channels, H / 4, W / 4]"""
        conv, norm, _, pool = self.stem
        if isinstance(norm, FrozenBatchNorm) and runs_fused_stem(images, conv, pool):
            scale, shift = norm.affine()
            weight = conv.weight * scale[:, None, None, None]
            return run_fused_stem(images, self.normalize.mean, self.normalize.std, weight, shift)
        return pool(convolve_and_normalize(self.normalize(images), conv, norm))

    def _run(self, stage: nn.Sequential, number: str, x: Tensor, skipped: Tensor) -> tuple[Tensor, Tensor]:
        """Run a stage -> its map twice, for the next stage and for the pyramid."""
        if number not in self.relations:
            return run_blocks(stage, x, skipped)
        *blocks, last = stage
        x = self.relations[number](run_blocks(blocks, x, skipped)[0])
        return run_blocks([last], x, x)


def _stem(width: int, norm: Callable[[int], nn.Module]) -> nn.Sequential:
    convolution = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
    return nn.Sequential(convolution, norm(width), nn.ReLU(), nn.MaxPool2d(3, 2, 1))


def _stage(
    block: Callable[..., nn.Module],
    norm: Callable[[int], nn.Module],
    widths: tuple[int, int, int],
    *,
    depth: int,
    stride: int,
) -> nn.Sequential:
    """Build one of conv2_x to conv5_x. `widths`: of its input, inside its blocks, of its output.

    The first block changes stride and width, through a projection shortcut.
    """
    inputs, planes, outputs = widths
    shortcut = None
    if stride != 1 or inputs != outputs:
        shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), norm(outputs))
    first = block(inputs, planes, stride, shortcut)
    return nn.Sequential(first, *(block(outputs, planes) for _ in range(depth - 1)))


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def _warn_of_few_groups(norm: str, base_channels: int) -> None:
    """Log a warning if a body of the papers' width has a norm for thin ones: its layers of 64 channels differ."""
    if norm == "gn" and base_channels >= PAPER_WIDTH:
        log.warning(
            f"backbone.norm=gn has {get_norm(norm)(base_channels).num_groups} groups at {base_channels} channels, for "
            "thin bodies; the paper, Detectron and detectron2 have 32, and so do published weights: backbone.norm=gn32"
        )


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
