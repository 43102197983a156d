"""SPPnet (arXiv:1406.4729): a window of the map is pooled over a pyramid of grids, and fc6 reads all of their bins.

Section 4.1: grids of 1, 2, 3 and 6 bins a side, 50 in all. Fast R-CNN's RoI pooling (arXiv:1504.08083, section 2.1)
is the special case of one grid. Only fc6 and fc7 are tuned: `backbone.first_trained=fc6`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from lineage.models.backbones.fpn import Last
from lineage.models.detectors.rcnn import RCNN, Sampler
from lineage.models.detectors.single_map import plain
from lineage.models.roi_heads.pooler import Layer


class SpatialPyramid(nn.Module):
    """One RoI layer per grid; their bins stand one after the other: [R, C, 1, sum of squares]."""

    def __init__(self, size: int, *, layer: Callable[[int], Layer], grids: Sequence[int]):
        super().__init__()
        if max(grids) != size:
            raise ValueError(f"the finest of the grids {list(grids)} is the size of the pool, not {size}")
        self.layers = nn.ModuleList(layer(grid) for grid in grids)

    def forward(self, feature: Tensor, rois: Tensor) -> Tensor:
        return torch.cat([layer(feature, rois).flatten(2) for layer in self.layers], 2)[:, :, None]


def sppnet(
    *,
    backbone: nn.Module,
    neck: None = None,
    proposals: Callable[[int], nn.Module],
    sampler: Sampler,
    box: Callable[..., nn.Module],
    heads: dict[str, Callable[..., nn.Module]],
    grids: Sequence[int],
) -> RCNN:
    """As fc_head.single_map, with an fc6 that reads the whole pyramid.

    deviates: fc6 starts afresh, where SPPnet took it from an ImageNet classifier that pooled over the same pyramid
    """
    classifier = plain(backbone)
    head = classifier.head(sum(grid**2 for grid in grids))
    return RCNN(
        backbone=backbone,
        neck=Last,
        proposals=proposals,
        sampler=sampler,
        box=partial(box, body=lambda _channels, _size: head),
        heads=heads,
    )
