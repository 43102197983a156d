"""SPPnet (arXiv:1406.4729): a window of the map is pooled over a pyramid of grids, and fc6 reads all of their bins.

Section 4.1: grids of 1, 2, 3 and 6 bins a side, 50 in all. Fast R-CNN's RoI pooling (arXiv:1504.08083, section 2.1)
is the special case of one grid. Only fc6 and fc7 are tuned: `backbone.first_trained=fc6`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Unpack

import torch
from torch import Tensor, nn

from lineage.models.detectors.one_map import RCNNParts, one_map_rcnn
from lineage.models.detectors.plain_rcnn import require_plain_backbone
from lineage.models.detectors.rcnn import RCNN
from lineage.models.roi_heads.pooler import RoILayer


class SpatialPyramid(nn.Module):
    """One RoI layer per grid; their bins stand one after the other: [R, C, 1, sum of squares]."""

    def __init__(self, size: int, *, layer: Callable[[int], RoILayer], grids: Sequence[int]):
        super().__init__()
        if max(grids) != size:
            raise ValueError(f"the finest of the grids {list(grids)} is the size of the pool, not {size}")
        self.layers = nn.ModuleList(layer(grid) for grid in grids)

    def forward(self, maps: Sequence[Tensor], rois: Tensor, level: Tensor | None = None) -> Tensor:
        """Pool regions as a RoILayer does -> [R, C, 1, bins]."""
        return torch.cat([layer(maps, rois, level).flatten(2) for layer in self.layers], 2)[:, :, None]


def sppnet(*, grids: Sequence[int], **parts: Unpack[RCNNParts]) -> RCNN:
    """Build an RCNN whose fc6 reads the pyramid of all grids.

    deviates: fc6 starts from random weights, where SPPnet took it from a classifier pooled over the same pyramid
    """
    body = require_plain_backbone(parts["backbone"]).classifier.body(sum(grid**2 for grid in grids))
    return one_map_rcnn(**(parts | {"box": partial(parts["box"], body=lambda _channels, _size: body)}))
