"""MobileNetV1 (arXiv:1704.04861) and MobileNetV3-large (arXiv:1905.02244) as bodies.

Blocks are counted from 0, the stem. `out_indices` are the blocks whose outputs become maps: for most models the last of
each stride from 4 to 32; torchvision's detectors read the first block of stride 32 and the last (13 and 16).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypedDict, Unpack

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import mobilenet_v3_large

from lineage.models.backbones.norm import FrozenBatchNorm, get_norm
from lineage.models.backbones.normalize import Normalize
from lineage.structures import Images
from lineage.weights import tfjs
from lineage.weights.pretrained import LATER, WeightsError, check_start, load_backbone_state

V1_STRIDES = (2, 1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)  # table 1, stem first
V1_WIDTHS = (32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
V3_STAGES = (0, 2, 4, 7, 13)  # blocks that stride: where stages begin
V1_STAGES = (0, 2, 4, 6, 12)


class MobileNet(nn.Module):
    """Body of blocks one after the other.

    channels: widths of the blocks' outputs.
    stage_starts: the blocks that stride.
    out_indices: the blocks whose outputs are returned as maps, rising.
    frozen_stages: counted from the stem.
    read_weights: `weights` -> state dict under the names of this class.
    """

    def __init__(
        self,
        blocks: nn.Sequential,
        channels: Sequence[int],
        stage_starts: Sequence[int],
        *,
        out_indices: Sequence[int],
        norm: str,
        eps: float,
        frozen_stages: int,
        weights: str | None,
        read_weights: Callable[[str], dict[str, Tensor]],
        mean: Sequence[float],
        std: Sequence[float],
    ):
        super().__init__()
        check_start(norm, frozen_stages, weights)
        _check_indices(out_indices, len(blocks))
        self.normalize = Normalize(mean, std)
        self.blocks = blocks[: out_indices[-1] + 1]  # later blocks would get no gradient
        self.out_indices = tuple(out_indices)
        self.channels = [channels[block] for block in out_indices]
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm | FrozenBatchNorm):
                module.eps = eps
        if weights is not None and weights != LATER:
            missing, _ = self.load_state_dict(read_weights(weights), strict=False)
            if missing:
                lacking = ", ".join(missing[:6])
                raise WeightsError(f"backbone.weights={weights} lacks {lacking}: it is of another network")
        frozen_blocks = [*stage_starts, len(blocks)][frozen_stages]
        self.blocks[:frozen_blocks].requires_grad_(False)

    def forward(self, images: Images) -> list[Tensor]:
        """-> the outputs of the blocks `out_indices`: [B, channels[i], H / stride, W / stride]"""
        x = self.normalize(images)
        maps = []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in self.out_indices:
                maps.append(x)
        return maps

    def list_layers(self) -> list[nn.Module]:
        """Return the blocks, the stem first."""
        return list(self.blocks)


class MobileNetOptions(TypedDict):
    """Keywords of MobileNet that configs give."""

    out_indices: Sequence[int]
    eps: float
    frozen_stages: int
    weights: str | None
    mean: Sequence[float]
    std: Sequence[float]


def _check_indices(out_indices: Sequence[int], blocks: int) -> None:
    if list(out_indices) != sorted(set(out_indices)) or not 0 <= out_indices[0] <= out_indices[-1] < blocks:
        raise ValueError(f"backbone.out_indices={list(out_indices)}: rising numbers of blocks, 0 to {blocks - 1}")


def mobilenet_v3(*, norm: str, **options: Unpack[MobileNetOptions]) -> MobileNet:
    """Build MobileNetV3-large; blocks and weights are torchvision's."""
    network = mobilenet_v3_large(norm_layer=get_norm(norm))
    channels = [block.out_channels for block in network.features]
    return MobileNet(network.features, channels, V3_STAGES, norm=norm, read_weights=_read_torchvision, **options)


def _read_torchvision(weights: str) -> dict[str, Tensor]:
    state = load_backbone_state(weights)
    return {f"blocks.{name.removeprefix('features.')}": state[name] for name in state if name.startswith("features.")}


class SamePadded(nn.Module):
    """A 3x3 convolution with TensorFlow's "same" padding: of an odd number of pixels the larger half is at the end."""

    def __init__(self, convolution: nn.Conv2d):
        super().__init__()
        self.convolution = convolution

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, outputs, ceil(H / stride), ceil(W / stride)]"""
        stride = self.convolution.stride[0]
        rows, columns = (max((-(-side // stride) - 1) * stride + 3 - side, 0) for side in x.shape[-2:])
        return self.convolution(F.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)))


def mobilenet_v1(*, width_multiplier: float, norm: str, **options: Unpack[MobileNetOptions]) -> MobileNet:
    """Build MobileNetV1 with the blocks of Keras; its ImageNet weights are a folder of TensorFlow.js."""
    layer = get_norm(norm)
    widths = [int(width * width_multiplier) for width in V1_WIDTHS]
    stem = nn.Sequential(_spatial(3, widths[0], 2, 1), layer(widths[0]), nn.ReLU6())
    separable = [
        nn.Sequential(
            _spatial(inputs, inputs, stride, inputs), layer(inputs), nn.ReLU6(),
            nn.Conv2d(inputs, outputs, 1, bias=False), layer(outputs), nn.ReLU6(),
        )
        for inputs, outputs, stride in zip(widths, widths[1:], V1_STRIDES[1:], strict=False)
    ]  # fmt: skip
    blocks = nn.Sequential(stem, *separable)
    for module in blocks.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
    read = partial(tfjs.read_mobilenet_v1, blocks=len(blocks))
    return MobileNet(blocks, widths, V1_STAGES, norm=norm, read_weights=read, **options)


def _spatial(inputs: int, outputs: int, stride: int, groups: int) -> SamePadded:
    return SamePadded(nn.Conv2d(inputs, outputs, 3, stride=stride, groups=groups, bias=False))
