"""MobileNetV1 (arXiv:1704.04861) and MobileNetV3-large (arXiv:1905.02244) as bodies.

Blocks are counted from 0, the stem. `maps` says whose outputs are given on: for most models the last of each stride
from 4 to 32; torchvision's detectors read the first block of stride 32 and the last (13 and 16).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import mobilenet_v3_large

from lineage.models.backbones import norm as norms
from lineage.models.backbones.resnet import Normalize
from lineage.structures import Images
from lineage.weights import tfjs
from lineage.weights.pretrained import LATER, WeightsError, check_start, load

V1_STRIDES = (2, 1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)  # table 1, stem first
V1_WIDTHS = (32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
V3_STAGES = (0, 2, 4, 7, 13)  # blocks that stride: where stages begin
V1_STAGES = (0, 2, 4, 6, 12)


class MobileNet(nn.Module):
    """Blocks one after the other; `frozen_stages` counts strides from the stem."""

    def __init__(
        self,
        blocks: nn.Sequential,
        channels: Callable[[int], int],
        starts: Sequence[int],
        *,
        maps: Sequence[int],
        norm: str,
        eps: float,
        frozen_stages: int,
        weights: str | None,
        read: Callable[[str], dict[str, Tensor]],
        mean: Sequence[float],
        std: Sequence[float],
    ):
        super().__init__()
        check_start(norm, frozen_stages, weights)
        if list(maps) != sorted(set(maps)) or not 0 <= maps[0] <= maps[-1] < len(blocks):
            raise ValueError(f"backbone.maps={list(maps)}: rising numbers of blocks, 0 to {len(blocks) - 1}")
        self.normalize = Normalize(mean, std)
        self.blocks = blocks[: maps[-1] + 1]  # what nothing reads would get no gradient
        self.maps, self.channels = tuple(maps), [channels(block) for block in maps]
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm | norms.FrozenBatchNorm):
                module.eps = eps
        if weights not in (None, LATER):
            missing, _ = self.load_state_dict(read(weights), strict=False)
            if missing:
                lacking = ", ".join(missing[:6])
                raise WeightsError(f"backbone.weights={weights} lacks {lacking}: it is of another network")
        last = [*starts, len(blocks)][frozen_stages]
        self.blocks[:last].requires_grad_(False)

    def forward(self, images: Images) -> list[Tensor]:
        """-> the outputs of the blocks `maps`: [B, channels[i], H / stride, W / stride]"""
        x = self.normalize(images)
        found = []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in self.maps:
                found.append(x)
        return found


def mobilenet_v3(*, norm: str, **options: object) -> MobileNet:
    """MobileNetV3-large; blocks and weights are torchvision's"""
    whole = mobilenet_v3_large(norm_layer=norms.norm(norm))
    return MobileNet(
        whole.features, lambda block: whole.features[block].out_channels, V3_STAGES,
        norm=norm, read=_torchvision, **options,  # type: ignore[arg-type]
    )  # fmt: skip


def _torchvision(weights: str) -> dict[str, Tensor]:
    state = load(weights)
    return {f"blocks.{name.removeprefix('features.')}": state[name] for name in state if name.startswith("features.")}


class SamePadded(nn.Module):
    """TensorFlow's "same": what a strided 3x3 convolution lacks is padded at the end first."""

    def __init__(self, convolution: nn.Conv2d):
        super().__init__()
        self.convolution = convolution

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, outputs, ceil(H / stride), ceil(W / stride)]"""
        (high, wide), stride = x.shape[-2:], self.convolution.stride[0]
        rows, columns = (max((-(-side // stride) - 1) * stride + 3 - side, 0) for side in (high, wide))
        return self.convolution(F.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)))


def mobilenet_v1(*, multiplier: float, norm: str, **options: object) -> MobileNet:
    """MobileNetV1; blocks as in Keras, whose ImageNet weights a TensorFlow.js folder holds"""
    layer = norms.norm(norm)
    widths = [int(width * multiplier) for width in V1_WIDTHS]
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
    read = partial(tfjs.mobilenet_v1, blocks=len(blocks))
    return MobileNet(
        blocks, widths.__getitem__, V1_STAGES, norm=norm, read=read, **options,  # type: ignore[arg-type]
    )  # fmt: skip


def _spatial(inputs: int, outputs: int, stride: int, groups: int) -> SamePadded:
    return SamePadded(nn.Conv2d(inputs, outputs, 3, stride=stride, groups=groups, bias=False))
