"""RegNetX and RegNetY (arXiv:2003.13678) as bodies that return the maps of their four stages.

Blocks are torchvision's. Widths are not: its rule changes the first 80 of RegNetX-4GF, for which it has no weights,
to 120.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import log

from torch import Tensor, nn
from torchvision.models import regnet

from lineage.models.backbones.norm import get_norm
from lineage.models.backbones.normalize import Normalize
from lineage.structures import Images
from lineage.weights.pretrained import check_start, load_backbone
from lineage.weights.sources.table import PixelNormalization

STAGES = 4  # of strides 4, 8, 16 and 32
QUANTUM = 8  # widths are multiples of it, section 3.3


class RegNet(nn.Module):
    """Body whose blocks have widths on a line w_0 + w_a * i, quantised to powers of w_m (section 3.3).

    depth: number of blocks.
    w_0, w_a, w_m: as in the paper.
    group_width: of the 3x3 convolutions.
    se_ratio: of squeeze-and-excitation in RegNetY; null in RegNetX.
    frozen_stages: counted from the stem.
    """

    def __init__(
        self,
        *,
        depth: int,
        w_0: int,
        w_a: float,
        w_m: float,
        group_width: int,
        se_ratio: float | None,
        stem_width: int,
        norm: str,
        frozen_stages: int,
        weights: str | None,
        mean: Sequence[float],
        std: Sequence[float],
    ):
        super().__init__()
        check_start(norm, frozen_stages, weights)
        depths, widths, groups = stage_sizes(depth, w_0, w_a, w_m, group_width)
        sizes = regnet.BlockParams(depths, widths, groups, [1.0] * STAGES, [2] * STAGES, se_ratio)
        network = regnet.RegNet(sizes, num_classes=1, stem_width=stem_width, norm_layer=get_norm(norm))
        self.normalize = Normalize(mean, std)
        self.stem = network.stem
        self.stages = nn.ModuleList(nn.Sequential(*stage) for stage in network.trunk_output)
        self.channels = widths
        if weights is not None:
            load_backbone(self, weights, PixelNormalization.of(mean, std))
        for stage in [self.stem, *self.stages][:frozen_stages]:
            stage.requires_grad_(False)

    def forward(self, images: Images) -> list[Tensor]:
        """-> maps at strides 4, 8, 16, 32, fine to coarse: [B, channels[i], H / stride, W / stride]"""
        x = self.stem(self.normalize(images))
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps

    def list_layers(self) -> list[nn.Module]:
        """Return the stem and the blocks, from the pixels to the deepest map."""
        return [self.stem, *(block for stage in self.stages for block in stage)]


def stage_sizes(
    depth: int, w_0: int, w_a: float, w_m: float, group_width: int
) -> tuple[list[int], list[int], list[int]]:
    """Compute blocks, width and group width of each stage: equations 2 to 4."""
    powers = [round(log((w_0 + w_a * block) / w_0) / log(w_m)) for block in range(depth)]
    depths = Counter(round(w_0 * w_m**power / QUANTUM) * QUANTUM for power in powers)  # width -> blocks
    if len(depths) != STAGES:
        raise ValueError(
            f"backbone.depth={depth}, w_0={w_0}, w_a={w_a:g} and w_m={w_m:g} make {len(depths)} stages, of widths "
            f"{[*depths]}; a RegNet has {STAGES}: see the numbers in conf/backbone/regnet*.yaml"
        )
    groups = [min(group_width, width) for width in depths]
    # to the nearest multiple of a group, as the authors have it; torchvision's rule never takes a tenth of a width away
    widths = [max(1, round(width / group)) * group for width, group in zip(depths, groups, strict=True)]
    return list(depths.values()), widths, groups
