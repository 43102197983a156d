"""Feature Pyramid Networks (arXiv:1612.03144), section 3: lateral 1x1, top-down nearest x2, smoothing 3x3.

Tables 1 and 2 of the paper take its parts away one by one; the switches `top_down`, `lateral` and `only_finest` do
that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from lineage.models.backbones.init import xavier
from lineage.models.backbones.norm import convolve_and_normalize, get_norm
from lineage.ops.layers.convolution import enlarge, enlarge_and_add


class PyramidError(ValueError):
    """A combination of options that leaves no pyramid; the message names the option to change."""


class LastLevelMaxPool(nn.Module):
    """P6: P5 subsampled by 2 (footnote of section 4.1), for anchors of 512 pixels."""

    def __init__(self, deepest: int, channels: int):
        super().__init__()

    def forward(self, last: Tensor, deepest: Tensor) -> list[Tensor]:
        """last map of the pyramid, deepest map of the body -> the coarser maps"""
        return [F.max_pool2d(last, 1, stride=2)]


class LastLevelP6P7(nn.Module):
    """RetinaNet's P6 and P7 (arXiv:1708.02002, footnote 2): strided 3x3 on C5, ReLU, strided 3x3."""

    def __init__(self, deepest: int, channels: int, *, source: str):
        super().__init__()
        if source not in ("C5", "P5"):
            raise PyramidError(f"model.neck.top_block.source={source} is unknown; P6 is computed from C5 or P5")
        self.reads_body = source == "C5"  # torchvision's retinanet_resnet50_fpn reads P5, everyone else C5
        self.p6 = nn.Conv2d(deepest if self.reads_body else channels, channels, 3, stride=2, padding=1)
        self.p7 = nn.Conv2d(channels, channels, 3, stride=2, padding=1)
        xavier(self.p6, self.p7)

    def forward(self, last: Tensor, deepest: Tensor) -> list[Tensor]:
        """last map of the pyramid, deepest map of the body -> P6 and P7"""
        p6 = self.p6(deepest if self.reads_body else last)
        return [p6, self.p7(F.relu(p6))]


class FPN(nn.Module):
    """Pyramid of equal width: maps Ci..C5 of the body -> Pi..P5, then the coarser maps of `top_block`.

    start_level: how many of the body's finest maps are left out; 0 starts at C2.
    top_block: (width of C5, channels) -> module that adds coarser maps.
    top_down: false leaves every level to its own map.
    lateral: false computes all levels from C5 alone.
    only_finest: true returns Pi alone.
    """

    size_divisibility = 32  # of a test image's canvas, as in Detectron and detectron2

    def __init__(
        self,
        inputs: Sequence[int],
        *,
        channels: int,
        norm: str | None,
        start_level: int,
        top_block: Callable[[int, int], nn.Module] | None,
        top_down: bool,
        lateral: bool,
        only_finest: bool,
    ):
        super().__init__()
        _check(inputs, start_level, top_down, lateral)
        self.start_level, self.channels, self.top_down = start_level, channels, top_down
        widths = list(inputs[start_level:]) if lateral else list(inputs[-1:])
        levels = 1 if only_finest else len(inputs) - start_level
        bias = norm is None
        self.lateral = nn.ModuleList(nn.Conv2d(width, channels, 1, bias=bias) for width in widths)
        self.smooth = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1, bias=bias) for _ in range(levels))
        self.lateral_norm = nn.ModuleList(_norm(norm, channels) for _ in self.lateral)
        self.smooth_norm = nn.ModuleList(_norm(norm, channels) for _ in self.smooth)
        self.top = top_block(inputs[-1], channels) if top_block and not only_finest else None
        xavier(*self.lateral, *self.smooth)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """maps fine to coarse [B, inputs[i], H_i, W_i] -> the pyramid, fine to coarse [B, channels, H_i, W_i]"""
        maps = maps[self.start_level :]
        merged = self._merge(maps)
        pyramid = [
            convolve_and_normalize(x, smooth, norm, relu=False)
            for smooth, norm, x in zip(self.smooth, self.smooth_norm, merged, strict=False)
        ]  # with only_finest there is a single `smooth`
        return pyramid if self.top is None else [*pyramid, *self.top(pyramid[-1], maps[-1])]

    def _merge(self, maps: list[Tensor]) -> list[Tensor]:
        """Lateral convolutions, then from the top down: each level plus the coarser sum, enlarged."""
        inputs = maps[-len(self.lateral) :]
        sides = list(zip(self.lateral, self.lateral_norm, inputs, strict=True))
        if not self.top_down:
            return [convolve_and_normalize(x, side, norm, relu=False) for side, norm, x in sides]
        side, norm, x = sides.pop()
        merged = [convolve_and_normalize(x, side, norm, relu=False)]
        for level in reversed(maps[:-1]):
            if sides:
                side, norm, x = sides.pop()
                merged.insert(0, self._step_down(merged[0], x, side, norm))
            else:
                merged.insert(0, enlarge(merged[0], level.shape[-2:]))
        return merged

    def _step_down(self, coarse: Tensor, level: Tensor, side: nn.Module, norm: nn.Module) -> Tensor:
        """Add the lateral convolution of a map to the enlarged coarser sum."""
        if isinstance(norm, nn.Identity):
            return enlarge_and_add(coarse, level, side)
        return norm(side(level)) + enlarge(coarse, level.shape[-2:])


def _norm(name: str | None, channels: int) -> nn.Module:
    return get_norm(name)(channels) if name else nn.Identity()


def _check(inputs: Sequence[int], start_level: int, top_down: bool, lateral: bool) -> None:
    if not 0 <= start_level < len(inputs):
        count = len(inputs)
        raise PyramidError(f"model.neck.start_level={start_level}: the backbone has {count} maps, so 0 to {count - 1}")
    if not top_down and not lateral:
        raise PyramidError("model.neck.top_down=false and lateral=false leave C5 alone; set one of them to true")
