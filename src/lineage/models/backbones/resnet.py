"""ResNet (arXiv:1512.03385) and ResNeXt (arXiv:1611.05431) bodies that return the maps C2 to C5.

Blocks are torchvision's, with their norms folded; stems and shortcuts are those of ResNet, or of ResNet-C and -D
(arXiv:1812.01187, figure 2). Where a bottleneck strides follows its weights: the paper and MSRA's weights (Detectron,
detectron2) in the 1x1, torchvision's and ResNeXt's (ResNet-B) in the 3x3.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from torch import Tensor, nn

from lineage.models.backbones.deformable_conv import make_deformable
from lineage.models.backbones.non_local import NonLocal
from lineage.models.backbones.norm import FrozenBatchNorm, convolve_and_normalize, get_norm
from lineage.models.backbones.normalize import Normalize
from lineage.models.backbones.residual import stride_in_first_convolution, zero_last_norms
from lineage.models.backbones.residual_blocks import BasicBlock, Bottleneck, run_blocks, run_scaled_blocks
from lineage.models.backbones.stochastic_depth import StochasticDepth
from lineage.ops.layers.filters import fold_norm
from lineage.ops.layers.stem import run_fused_stem, runs_fused_stem
from lineage.structures import Images
from lineage.weights.pretrained import check_start, load_backbone
from lineage.weights.sources.table import PixelNormalization

OPTIONAL = ("relations.", ".offset.")  # parts of a body that published weights lack
PLAIN_STEM = 4  # layers of the stem of a ResNet: convolution, norm, ReLU, pool
PAPER_WIDTH = 64  # channels of the stem of every published ResNet
log = logging.getLogger(__name__)

BLOCKS: dict[str, type[BasicBlock] | type[Bottleneck]] = {"basic": BasicBlock, "bottleneck": Bottleneck}


class ResNet(nn.Module):
    """ResNet or ResNeXt body with maps C2 to C5.

    block: basic or bottleneck.
    layers: residual blocks per stage, of three or four stages; with three the last map is C4.
    base_channels: width of the stem; stage i has base_channels * 2**i, four times that after a bottleneck.
    groups, width_per_group: of the 3x3 convolution of a bottleneck; 1 and 64 are a ResNet's.
    stride_in: 1x1 or 3x3, the convolution of a bottleneck that strides.
    deform: stages 2 to 5 (numbers as in the papers) whose 3x3 convolutions are deformable.
    non_local: stages with a non-local block before their last residual block.
    frozen_stages: counted from the stem; 2 freezes the stem and conv2_x (Detectron's FREEZE_AT).
    stem: conv7, one 7x7 convolution, or deep, three of 3x3 (ResNet-C).
    shortcut: conv, a 1x1 convolution that strides, or pool, which averages 2x2 pixels before it (ResNet-D).
    zero_gamma: the last norm of each block starts at 0, so that a block starts as its shortcut.
    drop_path: probability that an image skips the last block in training; it rises linearly from the first. A stage
        that C4 and C5 models run on regions skips nothing.
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
        stem: str = "conv7",
        shortcut: str = "conv",
        zero_gamma: bool = False,
        drop_path: float = 0.0,
    ):
        super().__init__()
        check_start(norm, frozen_stages, weights)
        _check_shape(block, layers, stride_in, deform, non_local)
        _check_variants(stem, shortcut, zero_gamma, norm)
        layer = _get_norm(norm, base_channels)
        expansion = BLOCKS[block].expansion
        build_block = partial(BLOCKS[block], groups=groups, base_width=width_per_group, norm_layer=layer)
        self.normalize = Normalize(mean, std)
        self.stem = STEMS[stem](base_channels, layer)
        planes = [base_channels * 2**level for level in range(len(layers))]
        self.channels = [width * expansion for width in planes]
        inputs = [base_channels, *self.channels]
        widths = list(zip(inputs, planes, self.channels, strict=False))
        build_stage = partial(_stage, build_block, layer, SHORTCUTS[shortcut])
        self.stages = _build_stages(build_stage, widths, layers, strides_early=stride_in == "1x1" and expansion > 1)
        self.apply(_initialize)
        zero_last_norms(self.stages if zero_gamma else ())
        self.depth = StochasticDepth(drop_path, sum(layers)) if drop_path else None
        for number in deform:
            make_deformable(self.stages[number - 2], deform_version)
        self.relations = nn.ModuleDict({str(number): NonLocal(inputs[number - 1]) for number in non_local})
        self._load(weights, PixelNormalization.of(mean, std), stride_in if block == "bottleneck" else None)
        nn.ModuleList([self.stem, *self.stages][:frozen_stages]).requires_grad_(False)

    def _load(self, weights: str | None, pixels: PixelNormalization, stride_in: str | None) -> None:
        """Load weights, if there are any; `stride_in` is None for basic blocks, which have no 1x1."""
        if weights is not None:
            load_backbone(self, weights, pixels, optional=OPTIONAL, stride_in=stride_in)

    def forward(self, images: Images) -> list[Tensor]:
        """-> maps at strides 4, 8, 16, 32, fine to coarse: [B, channels[i], H / stride, W / stride]"""
        x = skipped = self._run_stem(images)
        scales = None if self.depth is None else iter(self.depth(images.rng_keys))
        maps = []
        for number, stage in enumerate(self.stages, 2):
            x, skipped, level = self._run(stage, str(number), x, skipped, scales)
            maps.append(level)
        return maps

    def _run_stem(self, images: Images) -> Tensor:
        """-> [B, base_channels, H / 4, W / 4]"""
        if len(self.stem) > PLAIN_STEM:
            return self.stem(self.normalize(images))
        conv, norm, _, pool = self.stem
        if isinstance(norm, FrozenBatchNorm) and runs_fused_stem(images, conv, pool):
            weight, shift = fold_norm(conv.weight, norm.constants())
            return run_fused_stem(images, self.normalize.mean, self.normalize.std, weight, shift)
        return pool(convolve_and_normalize(self.normalize(images), conv, norm))

    def list_layers(self) -> list[nn.Module]:
        """Return the stem and the blocks, from the pixels to the deepest map."""
        return [self.stem, *(block for stage in self.stages for block in stage)]

    def _run(
        self, stage: nn.Sequential, number: str, x: Tensor, skipped: Tensor, scales: Iterator[Tensor] | None
    ) -> tuple[Tensor, ...]:
        """Run a stage -> its map for the next stage, for that stage's shortcut, and for the pyramid.

        `scales` yields the factors [B] of the branches of its blocks, None counts all of them once.
        """
        run = run_blocks if scales is None else partial(run_scaled_blocks, scales=scales)
        if number not in self.relations:
            return run(stage, x, skipped)
        *blocks, last = stage
        x = self.relations[number](run(blocks, x, skipped)[0])
        return run([last], x, x)


Norm = Callable[[int], nn.Module]


def _build_stem(width: int, norm: Norm) -> nn.Sequential:
    convolution = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
    return nn.Sequential(convolution, norm(width), nn.ReLU(), nn.MaxPool2d(3, 2, 1))


def _build_deep_stem(width: int, norm: Norm) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs, stride in ((3, width // 2, 2), (width // 2, width // 2, 1), (width // 2, width, 1)):
        layers += [nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), norm(outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.MaxPool2d(3, 2, 1))


def _build_shortcut(inputs: int, outputs: int, stride: int, norm: Norm) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), norm(outputs))


def _build_pooled_shortcut(inputs: int, outputs: int, stride: int, norm: Norm) -> nn.Sequential:
    """Average before the convolution, which then reads every pixel; at an odd border the pixels that there are."""
    pool = nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False)
    return nn.Sequential(pool, nn.Conv2d(inputs, outputs, 1, bias=False), norm(outputs))


STEMS = {"conv7": _build_stem, "deep": _build_deep_stem}
SHORTCUTS = {"conv": _build_shortcut, "pool": _build_pooled_shortcut}


def _build_stages(
    build_stage: Callable[..., nn.Sequential],
    widths: Sequence[tuple[int, int, int]],
    layers: Sequence[int],
    *,
    strides_early: bool,
) -> nn.ModuleList:
    """Build conv2_x to conv4_x or conv5_x. Each after the first halves its map, in a 1x1 if `strides_early`."""
    sizes = zip(widths, layers, (1, 2, 2, 2)[: len(layers)], strict=True)
    stages = nn.ModuleList(build_stage(width, depth=depth, stride=stride) for width, depth, stride in sizes)
    if strides_early:
        stride_in_first_convolution(stages)
    return stages


def _stage(
    block: Callable[..., nn.Module],
    norm: Norm,
    shortcut: Callable[[int, int, int, Norm], nn.Module],
    widths: tuple[int, int, int],
    *,
    depth: int,
    stride: int,
) -> nn.Sequential:
    """Build one of conv2_x to conv5_x. `widths`: of its input, inside its blocks, of its output.

    The first block changes stride and width, through a projection shortcut.
    """
    inputs, planes, outputs = widths
    is_identity = stride == 1 and inputs == outputs
    first = block(inputs, planes, stride, None if is_identity else shortcut(inputs, outputs, stride, norm))
    return nn.Sequential(first, *(block(outputs, planes) for _ in range(depth - 1)))


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def _get_norm(norm: str, base_channels: int) -> Norm:
    """Return a norm; if a body of the papers' width has one for thin ones, warn: its layers of 64 channels differ."""
    if norm == "gn" and base_channels >= PAPER_WIDTH:
        log.warning(
            f"backbone.norm=gn has {get_norm(norm)(base_channels).num_groups} groups at {base_channels} channels, for "
            "thin bodies; the paper, Detectron and detectron2 have 32, and so do published weights: backbone.norm=gn32"
        )
    return get_norm(norm)


def _check_variants(stem: str, shortcut: str, zero_gamma: bool, norm: str) -> None:
    if stem not in STEMS:
        raise ValueError(f"backbone.stem={stem}: choose {' or '.join(STEMS)}")
    if shortcut not in SHORTCUTS:
        raise ValueError(f"backbone.shortcut={shortcut}: choose {' or '.join(SHORTCUTS)}")
    if zero_gamma and norm == "frozen_bn":
        raise ValueError(
            "backbone.zero_gamma=true: a frozen norm would stay 0; choose backbone.norm=gn32, bn or sync_bn"
        )


def _check_shape(
    block: str, layers: Sequence[int], stride_in: str, deform: Sequence[int], non_local: Sequence[int]
) -> None:
    if block not in BLOCKS:
        raise ValueError(f"backbone.block={block}: choose {' or '.join(BLOCKS)}")
    if stride_in not in ("1x1", "3x3"):
        raise ValueError(f"backbone.stride_in={stride_in}: choose 1x1 or 3x3")
    if len(layers) not in (3, 4):
        raise ValueError(f"backbone.layers={list(layers)}: a ResNet has four stages, or three if its last map is C4")
    for name, stages in (("deform", deform), ("non_local", non_local)):
        if not set(stages) <= set(range(2, len(layers) + 2)):
            last = len(layers) + 1
            raise ValueError(
                f"backbone.{name}={list(stages)}: stages are numbered 2 to {last}, as conv2_x to conv{last}_x"
            )
    if any(layers[number - 2] < 2 for number in non_local):
        raise ValueError(
            f"backbone.non_local={list(non_local)}: a non-local block stands before the last of several residual "
            f"blocks, and backbone.layers={list(layers)}: choose a deeper backbone, such as mini_deep"
        )
