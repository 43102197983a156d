"""RoI layers: features of fixed size for each region.

RoIPool: Fast R-CNN (arXiv:1504.08083), section 2.1. RoIWarp: MNC (arXiv:1512.04412), section 3.2.
RoIAlign: Mask R-CNN (arXiv:1703.06870), section 3. The pyramid level of a region: FPN (arXiv:1612.03144), equation 1.

A layer takes the maps of a pyramid, and regions in the pixels of their own level's map.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lineage.ops.layers.kernels import needs_gradient, runs_kernels
from lineage.ops.roi_align import roi_align
from lineage.ops.roi_pool import roi_pool


class RoILayer(Protocol):
    """A RoI layer, which pools regions to a fixed size.

    maps: [B, C, H, W] per level. rois: [R, 5] (image, x1, y1, x2, y2). level: [R] int64, each region's map, in whose
    pixels it is; None with a single map. Returns [R, C, size, size].
    """

    def __call__(self, maps: Sequence[Tensor], rois: Tensor, level: Tensor | None = None) -> Tensor: ...


class RoIAlign(nn.Module):
    """Bilinear samples at exact positions, reduced per bin (`reduce`: mean or max); nothing is rounded."""

    def __init__(self, size: int, *, sampling_ratio: int, aligned: bool, reduce: str):
        super().__init__()
        if reduce == "max" and sampling_ratio < 1:
            raise ValueError(f"sampling_ratio={sampling_ratio}: a maximum needs a fixed number of samples, 1 or more")
        self.size, self.sampling_ratio, self.aligned, self.reduce = size, sampling_ratio, aligned, reduce

    def forward(self, maps: Sequence[Tensor], rois: Tensor, level: Tensor | None = None) -> Tensor:
        if self.reduce == "mean":
            return roi_align(maps, rois, level, self.size, self.sampling_ratio, self.aligned)
        # one sample per cell of a finer grid, so that the maximum can be taken outside the kernel
        fine = roi_align(maps, rois, level, self.size * self.sampling_ratio, 1, self.aligned)
        return F.max_pool2d(fine, self.sampling_ratio)


class RoIWarp(nn.Module):
    """Bilinear samples between the centres of the first and the last pixel of the region that RoIPool takes.

    The official code (MNC's roi_warping_layer.cu) samples from round(x1) to round(x2), where a pixel's centre has its
    index as coordinate; here bins are sampled inside, there at their first corner.
    """

    def __init__(self, size: int, *, sampling_ratio: int, reduce: str):
        super().__init__()
        self.align = RoIAlign(size, sampling_ratio=sampling_ratio, aligned=True, reduce=reduce)

    def forward(self, maps: Sequence[Tensor], rois: Tensor, level: Tensor | None = None) -> Tensor:
        image, corners = rois[:, :1], (rois[:, 1:] + 0.5).floor()  # as C's round: halves go up
        return self.align(maps, torch.cat((image, corners + 0.5), dim=1), level)  # index to pixel centre


class RoIPool(nn.Module):
    """Maximum over bins of whole pixels."""

    def __init__(self, size: int):
        super().__init__()
        self.size = size

    def forward(self, maps: Sequence[Tensor], rois: Tensor, level: Tensor | None = None) -> Tensor:
        return roi_pool(maps, rois, level, self.size)


class Pooler(nn.Module):
    """Pools the regions of a batch, each from the pyramid level that fits its size -> [B * N, C, size, size].

    canonical_size, canonical_level: a region of this side in pixels belongs to this level (FPN: 224, 4).
    """

    def __init__(
        self,
        layer: Callable[[int], RoILayer],
        *,
        size: int,
        strides: Sequence[int],
        canonical_size: int,
        canonical_level: int,
    ):
        super().__init__()
        self.layer, self.size, self.strides = layer(size), size, tuple(strides)
        self.canonical_size, self.canonical_level = canonical_size, canonical_level
        self.register_buffer("level_strides", torch.tensor([float(stride) for stride in strides]), persistent=False)

    def forward(self, features: Sequence[Tensor], boxes: Tensor) -> Tensor:
        """Pool boxes [B, N, 4] from features, fine to coarse, one per stride; coarser ones are ignored."""
        maps = features[: len(self.strides)]
        rois, level = self._scale(boxes)
        return self.layer(maps, rois, level if len(maps) > 1 else None)

    def _scale(self, boxes: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the regions [B * N, 5] of boxes [B, N, 4] in pixels of their levels, and the levels [B * N]."""
        strides = self.level_strides
        if runs_kernels(boxes) and boxes.dtype == strides.dtype == torch.float32 and not needs_gradient(boxes):
            from lineage.ops.cuda import region_levels  # Triton loads only where there is a GPU

            return region_levels.scale(boxes, strides, self._finest(), self.canonical_size, self.canonical_level)
        batch, num_regions = boxes.shape[:2]
        image = torch.arange(batch, device=boxes.device)[:, None].expand(batch, num_regions).reshape(-1)
        if len(self.strides) == 1:
            level, scaled = None, boxes / self.strides[0]
        else:
            level = self._level(boxes).flatten()
            scaled = boxes / self.level_strides[level].view(batch, num_regions, 1)
        return torch.cat((image[:, None].to(scaled.dtype), scaled.flatten(0, 1)), dim=1), level

    def _level(self, boxes: Tensor) -> Tensor:
        """Return the level of FPN's equation 1, k = floor(k0 + log2(sqrt(w h) / 224)), counted from the finest map."""
        width, height = boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1]
        # the 1e-6 is Detectron's: a region of exactly 224 pixels belongs to level k0
        side = (width * height).clamp(min=0).sqrt()
        level = torch.floor(self.canonical_level + torch.log2(side / self.canonical_size) + 1e-6)
        finest = self._finest()
        level = level.clamp(finest, finest + len(self.strides) - 1) - finest
        return level.nan_to_num(0.0).long()  # a network that diverged has boxes of NaN; its level must exist

    def _finest(self) -> int:
        """Return the level of the finest map: its stride is 2 to the power of it."""
        return int(math.log2(self.strides[0]))
