"""Stacked hourglasses (arXiv:1603.06937) as CornerNet has them (arXiv:1808.01244, section 3.5): Hourglass-104.

Each stack halves its map of stride 4 five times, by strides in place of pooling, and comes back; each has heads of its
own in training.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from lineage.models.backbones.norm import get_norm
from lineage.models.backbones.normalize import Normalize
from lineage.structures import Images
from lineage.weights.pretrained import check_start, load_backbone
from lineage.weights.sources.table import PixelNormalization


class Residual(nn.Module):
    """Two 3x3 convolutions and a shortcut, a 1x1 convolution where width or stride change."""

    def __init__(self, inputs: int, outputs: int, norm: str, stride: int = 1):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = get_norm(norm)(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = get_norm(norm)(outputs)
        is_identity = stride == 1 and inputs == outputs
        shortcut = (nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), get_norm(norm)(outputs))
        self.shortcut = nn.Sequential(*(() if is_identity else shortcut))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + self.shortcut(x))


class Hourglass(nn.Module):
    """One level and all below it: a path at this size, and one at half of it.

    widths, blocks: of this level, the next one, and so on; the deepest level has only blocks.
    """

    def __init__(self, widths: Sequence[int], blocks: Sequence[int], norm: str):
        super().__init__()
        width, deeper, count = widths[0], widths[1], blocks[0]
        self.skip = nn.Sequential(*(Residual(width, width, norm) for _ in range(count)))
        self.down = nn.Sequential(
            Residual(width, deeper, norm, stride=2), *(Residual(deeper, deeper, norm) for _ in range(count - 1))
        )
        self.inner: nn.Module
        if len(widths) > 2:
            self.inner = Hourglass(widths[1:], blocks[1:], norm)
        else:
            self.inner = nn.Sequential(*(Residual(deeper, deeper, norm) for _ in range(blocks[1])))
        self.up = nn.Sequential(
            *(Residual(deeper, deeper, norm) for _ in range(count - 1)), Residual(deeper, width, norm)
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, widths[0], H, W] -> the same shape"""
        deeper = self.up(self.inner(self.down(x)))
        return self.skip(x) + F.interpolate(deeper, scale_factor=2.0, mode="nearest")


class StackedHourglass(nn.Module):
    """Body whose maps are those of its stacks, all of stride 4; the first to the last.

    stacks: number of hourglasses.
    widths, blocks: of the levels of a stack, from stride 4 on.
    stem_width: channels at stride 2.
    """

    def __init__(
        self,
        *,
        stacks: int,
        widths: Sequence[int],
        blocks: Sequence[int],
        stem_width: int,
        norm: str,
        frozen_stages: int,
        weights: str | None,
        mean: Sequence[float],
        std: Sequence[float],
    ):
        super().__init__()
        check_start(norm, frozen_stages, weights)
        width = widths[0]
        self.normalize = Normalize(mean, std)
        self.stem = nn.Sequential(
            nn.Conv2d(3, stem_width, 7, stride=2, padding=3, bias=False), get_norm(norm)(stem_width), nn.ReLU(),
            Residual(stem_width, width, norm, stride=2),
        )  # fmt: skip
        self.stages = nn.ModuleList(Hourglass(widths, blocks, norm) for _ in range(stacks))
        self.outputs = nn.ModuleList(_build_convolution(width, 3, norm) for _ in range(stacks))
        self.from_input = nn.ModuleList(_build_convolution(width, 1, norm)[:2] for _ in range(stacks - 1))
        self.from_output = nn.ModuleList(_build_convolution(width, 1, norm)[:2] for _ in range(stacks - 1))
        self.between = nn.ModuleList(Residual(width, width, norm) for _ in range(stacks - 1))
        self.channels = [width] * stacks
        if weights is not None:
            load_backbone(self, weights, PixelNormalization.of(mean, std))
        nn.ModuleList([self.stem, *self.stages][:frozen_stages]).requires_grad_(False)

    def forward(self, images: Images) -> list[Tensor]:
        """-> the map of each stack [B, widths[0], H / 4, W / 4]"""
        x = self.stem(self.normalize(images))
        maps = []
        for number, (stack, output) in enumerate(zip(self.stages, self.outputs, strict=True)):
            maps.append(output(stack(x)))
            if number < len(self.between):
                x = F.relu(self.from_input[number](x) + self.from_output[number](maps[-1]))
                x = self.between[number](x)
        return maps

    def list_layers(self) -> list[nn.Module]:
        """Return the stem and the stacks."""
        return [self.stem, *self.stages]


def _build_convolution(width: int, kernel: int, norm: str) -> nn.Sequential:
    convolution = nn.Conv2d(width, width, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, get_norm(norm)(width), nn.ReLU())
