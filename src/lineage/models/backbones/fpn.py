"""Feature Pyramid Networks (arXiv:1612.03144), section 3: lateral 1x1, top-down nearest x2, smoothing 3x3.

Tables 1 and 2 of the paper take its parts away one by one; the switches `top_down`, `lateral` and `finest` do that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from lineage.models.backbones.init import xavier
from lineage.models.backbones.norm import norm as normalise


class PyramidError(ValueError):
    """Switches that leave no pyramid; the message says which to change."""


class Subsample(nn.Module):
    """P6 is P5 subsampled (footnote of section 4.1): for anchors of 512 pixels."""

    def __init__(self, deepest: int, channels: int):
        super().__init__()

    def forward(self, last: Tensor, deepest: Tensor) -> list[Tensor]:
        """last map of the pyramid, deepest map of the body -> the coarser maps"""
        return [F.max_pool2d(last, 1, stride=2)]


class P6P7(nn.Module):
    """RetinaNet's P6 and P7 (arXiv:1708.02002, footnote 2): strided 3x3 on C5, ReLU, strided 3x3."""

    def __init__(self, deepest: int, channels: int, *, source: str):
        super().__init__()
        if source not in ("C5", "P5"):
            raise PyramidError(f"model.neck.top.source={source} is unknown; P6 is computed from C5 or P5")
        self.body = source == "C5"  # torchvision's retinanet_resnet50_fpn reads P5, everyone else C5
        self.p6 = nn.Conv2d(deepest if self.body else channels, channels, 3, stride=2, padding=1)
        self.p7 = nn.Conv2d(channels, channels, 3, stride=2, padding=1)
        xavier(self.p6, self.p7)

    def forward(self, last: Tensor, deepest: Tensor) -> list[Tensor]:
        p6 = self.p6(deepest if self.body else last)
        return [p6, self.p7(F.relu(p6))]


class FPN(nn.Module):
    """Ci..C5 -> Pi..P5 and what `top` adds, all of the same width. `first` counts the maps left out, C2 being 0.

    Without `top_down` levels are not merged, without `lateral` C5 alone feeds them all; `finest` gives Pi alone.
    """

    def __init__(
        self,
        inputs: Sequence[int],
        *,
        channels: int,
        norm: str | None,
        first: int,
        top: Callable[[int, int], nn.Module] | None,
        top_down: bool,
        lateral: bool,
        finest: bool,
    ):
        super().__init__()
        _check(inputs, first, top_down, lateral)
        self.first, self.channels, self.top_down = first, channels, top_down
        widths = list(inputs[first:]) if lateral else list(inputs[-1:])
        levels = 1 if finest else len(inputs) - first
        bias = norm is None
        self.lateral = nn.ModuleList(nn.Conv2d(width, channels, 1, bias=bias) for width in widths)
        self.smooth = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1, bias=bias) for _ in range(levels))
        self.lateral_norm = nn.ModuleList(_norm(norm, channels) for _ in self.lateral)
        self.smooth_norm = nn.ModuleList(_norm(norm, channels) for _ in self.smooth)
        self.top = top(inputs[-1], channels) if top and not finest else None
        xavier(*self.lateral, *self.smooth)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """maps fine to coarse [B, inputs[i], H_i, W_i] -> the pyramid, fine to coarse [B, channels, H_i, W_i]"""
        maps = maps[self.first :]
        merged = self._merge(maps)
        pyramid = [
            norm(smooth(x)) for smooth, norm, x in zip(self.smooth, self.smooth_norm, merged, strict=False)
        ]  # the finest alone, if that is all there is to smooth
        return pyramid if self.top is None else [*pyramid, *self.top(pyramid[-1], maps[-1])]

    def _merge(self, maps: list[Tensor]) -> list[Tensor]:
        used = maps[-len(self.lateral) :]
        sides = [norm(side(x)) for side, norm, x in zip(self.lateral, self.lateral_norm, used, strict=True)]
        if not self.top_down:
            return sides
        merged = [sides.pop()]
        for level in reversed(maps[:-1]):
            coarse = F.interpolate(merged[0], size=level.shape[-2:], mode="nearest")
            merged.insert(0, sides.pop() + coarse if sides else coarse)
        return merged


def _norm(name: str | None, channels: int) -> nn.Module:
    return normalise(name)(channels) if name else nn.Identity()


def _check(inputs: Sequence[int], first: int, top_down: bool, lateral: bool) -> None:
    if not 0 <= first < len(inputs):
        raise PyramidError(f"model.neck.first={first}: the backbone has {len(inputs)} maps, so 0 to {len(inputs) - 1}")
    if not top_down and not lateral:
        raise PyramidError("model.neck.top_down=false and lateral=false leave C5 alone; set one of them to true")


class Last(nn.Module):
    """No pyramid: the deepest map alone, as Faster R-CNN had it (C4)."""

    def __init__(self, inputs: Sequence[int]):
        super().__init__()
        self.channels = inputs[-1]

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        return maps[-1:]
