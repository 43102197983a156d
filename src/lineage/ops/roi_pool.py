"""RoIPool: Fast R-CNN (arXiv:1504.08083), section 2.1. A bin is the maximum of whole pixels; borders are rounded.

On CUDA the Triton kernels of roi_pool_cuda.py read every level of a pyramid in place; elsewhere torchvision's kernel
reads an atlas of the levels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torchvision
from torch import Tensor

from lineage.ops.atlas import pack
from lineage.ops.fused_roi import roi_pool_levels, runs_fused
from lineage.ops.layers.shared_gradient import SharedMaps, roi_pool_shared


def roi_pool(maps: Sequence[Tensor], rois: Tensor, level: Tensor | None, size: int) -> Tensor:
    """Pool maps [B, C, H, W] in regions [R, 5] (image, x1, y1, x2, y2) -> [R, C, size, size].

    level: [R] int64, each region's map, in whose pixels it is; None with a single map.
    """
    if runs_fused(maps):
        if isinstance(maps, SharedMaps):
            return roi_pool_shared(maps, rois, level, size)
        return roi_pool_levels(maps, rois, level, size)
    feature, rois = pack(maps, rois, level)
    # torchvision's CPU kernel takes one type only; under mixed precision the map is half as precise as the regions
    return torchvision.ops.roi_pool(feature.to(rois.dtype), rois, size, 1.0)
