"""RegNetX and RegNetY (arXiv:2003.13678) as bodies that return the maps of their four stages.

Blocks are torchvision's. Widths are not: its rule makes 120 of the first 80 of RegNetX-4GF, which it has no weights of.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import log

from torch import Tensor, nn
from torchvision.models import regnet

from lineage.models.backbones import norm as norms
from lineage.models.backbones.resnet import Normalize, pixels
from lineage.structures import Images
from lineage.weights.pretrained import adopt, check_start

STAGES = 4  # of strides 4, 8, 16 and 32
QUANTUM = 8  # widths are multiples of it, section 3.3


class RegNet(nn.Module):
    """Section 3.3: a line through the widths of its blocks, cut into stages, says the whole network.

    `width` is w_0, `slope` w_a and `step` w_m; `group` the width of a group of its 3x3 convolutions; `squeeze` the
    ratio of squeeze-and-excitation in RegNetY, null in RegNetX. `frozen_stages` counts from the stem.
    """

    def __init__(
        self,
        *,
        depth: int,
        width: int,
        slope: float,
        step: float,
        group: int,
        squeeze: float | None,
        stem: int,
        norm: str,
        frozen_stages: int,
        weights: str | None,
        mean: Sequence[float],
        std: Sequence[float],
    ):
        super().__init__()
        check_start(norm, frozen_stages, weights)
        depths, widths, groups = stages(depth, width, slope, step, group)
        sizes = regnet.BlockParams(depths, widths, groups, [1.0] * STAGES, [2] * STAGES, squeeze)
        whole = regnet.RegNet(sizes, num_classes=1, stem_width=stem, norm_layer=norms.norm(norm))
        self.normalize = Normalize(mean, std)
        self.stem = whole.stem
        self.stages = nn.ModuleList(nn.Sequential(*stage) for stage in whole.trunk_output)
        self.channels = widths
        if weights is not None:
            adopt(self, weights, pixels(mean, std))
        for part in [self.stem, *self.stages][:frozen_stages]:
            part.requires_grad_(False)

    def forward(self, images: Images) -> list[Tensor]:
        """-> maps at strides 4, 8, 16, 32, fine to coarse: [B, channels[i], H / stride, W / stride]"""
        x = self.stem(self.normalize(images))
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


def stages(depth: int, width: int, slope: float, step: float, group: int) -> tuple[list[int], list[int], list[int]]:
    """Equations 2 to 4: blocks, width and width of a group, by stage."""
    powers = [round(log((width + slope * block) / width) / log(step)) for block in range(depth)]
    found = Counter(round(width * step**power / QUANTUM) * QUANTUM for power in powers)
    if len(found) != STAGES:
        raise ValueError(
            f"backbone.depth={depth}, width={width}, slope={slope:g} and step={step:g} make {len(found)} stages, of "
            f"widths {[*found]}; a RegNet has {STAGES}: see the numbers in conf/backbone/regnet*.yaml"
        )
    groups = [min(group, wide) for wide in found]
    # to the nearest multiple of a group, as the authors have it; torchvision's rule never takes a tenth of a width away
    widths = [max(1, round(wide / one)) * one for wide, one in zip(found, groups, strict=True)]
    return list(found.values()), widths, groups
