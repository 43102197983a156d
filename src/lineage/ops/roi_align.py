"""RoIAlign: Mask R-CNN (arXiv:1703.06870), section 3. A bin is the mean of bilinear samples, nothing is rounded.

Regions of a pyramid are pooled in one call, each from its level. Three ways give the same up to rounding:
- CUDA: the Triton kernels of roi_align_cuda.py, which read every level in place (fused_roi.py).
- CPU: sums of rows of one table of all levels' pixels (roi_align_cpu.py), as torchvision's kernel is slow there.
- else (another type or device, deterministic algorithms, a captured program, as ONNX has that operator): torchvision's,
  which reads one map, so that levels are packed into an atlas.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torchvision
from torch import Tensor

from lineage.ops.atlas import pack
from lineage.ops.fused_roi import roi_align_levels, runs_fused
from lineage.ops.layers.shared_gradient import SharedMaps, roi_align_shared
from lineage.ops.roi_align_cpu import roi_align_bags


def roi_align(
    maps: Sequence[Tensor], rois: Tensor, level: Tensor | None, size: int, sampling_ratio: int, aligned: bool
) -> Tensor:
    """Pool maps [B, C, H, W] in regions [R, 5] (image, x1, y1, x2, y2) -> [R, C, size, size].

    level: [R] int64, each region's map, in whose pixels it is; None with a single map.
    sampling_ratio: a bin has its square of samples; 0: as many as it covers pixels.
    """
    if runs_fused(maps):
        if isinstance(maps, SharedMaps):
            return roi_align_shared(maps, rois, level, size, sampling_ratio, aligned)
        return roi_align_levels(maps, rois, level, size, sampling_ratio, aligned)
    if maps[0].device.type == "cpu" and sampling_ratio > 0 and not torch.compiler.is_exporting():
        return roi_align_bags(maps, rois, level, size, sampling_ratio, aligned)
    feature, rois = pack(maps, rois, level)
    return torchvision.ops.roi_align(feature, rois, size, 1.0, sampling_ratio, aligned)
