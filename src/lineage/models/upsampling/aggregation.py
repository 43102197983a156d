"""Upsampling of DLA (arXiv:1707.06484, figure 4) with deformable convolutions: CenterNet (arXiv:1904.07850), figure 6d.

Maps are merged from coarse to fine, again and again: each is projected, enlarged and added to the finer one.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from lineage.models.upsampling.deconvolution import build_convolution, fill_bilinear


class IterativeAggregation(nn.Module):
    """Merge maps of `inputs` channels into the first one, each enlarged by its factor, to `width` channels."""

    def __init__(self, inputs: Sequence[int], width: int, factors: Sequence[int], *, convolution: str, norm: str):
        super().__init__()
        is_deformable = convolution == "deformable"
        self.project = nn.ModuleList(
            nn.Sequential(*build_convolution(channels, width, norm, is_deformable=is_deformable))
            for channels in inputs[1:]
        )
        self.enlarge = nn.ModuleList(_build_enlarging(width, factor) for factor in factors[1:])
        self.merge = nn.ModuleList(
            nn.Sequential(*build_convolution(width, width, norm, is_deformable=is_deformable)) for _ in inputs[1:]
        )

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """maps fine to coarse -> as many of the finest size; the last one holds all"""
        merged = [maps[0]]
        for coarse, project, enlarge, merge in zip(maps[1:], self.project, self.enlarge, self.merge, strict=True):
            merged.append(merge(enlarge(project(coarse)) + merged[-1]))
        return merged


class Aggregation(nn.Module):
    """One map of the finest stride from the maps of a body, each of twice the stride of the one before.

    convolution: deformable or plain.
    """

    size_divisibility = 32  # of a test image's canvas, as in CenterNet's code
    stacks = 1

    def __init__(self, inputs: Sequence[int], *, convolution: str, norm: str):
        super().__init__()
        if convolution not in ("plain", "deformable"):
            raise ValueError(f"upsampling.convolution={convolution} is unknown; choose plain or deformable")
        self.channels = inputs[0]
        # 1. from the coarsest pair on: the maps from `level` on become maps of its width and stride
        widths, steps = list(inputs), []
        for level in range(len(inputs) - 2, -1, -1):
            factors = [1] + [2] * (len(inputs) - level - 1)
            steps.append(
                IterativeAggregation(widths[level:], inputs[level], factors, convolution=convolution, norm=norm)
            )
            widths[level + 1 :] = [inputs[level]] * (len(inputs) - level - 1)
        self.steps = nn.ModuleList(steps)
        # 2. the results of all steps but the coarsest map
        last = list(inputs[:-1])
        factors = [2**level for level in range(len(last))]
        self.last = IterativeAggregation(last, inputs[0], factors, convolution=convolution, norm=norm)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """maps fine to coarse -> one map [B, channels, H, W] of the finest stride"""
        layers, results = list(maps), list[Tensor]()
        for number, step in enumerate(self.steps):
            level = len(maps) - 2 - number
            layers[level:] = step(layers[level:])
            results.insert(0, layers[-1])
        return [self.last(results)[-1]]


def _build_enlarging(width: int, factor: int) -> nn.ConvTranspose2d:
    layer = nn.ConvTranspose2d(width, width, 2 * factor, stride=factor, padding=factor // 2, groups=width, bias=False)
    fill_bilinear(layer)
    return layer
