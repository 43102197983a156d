"""RoI layers: features of fixed size for each region.

RoIPool: Fast R-CNN (arXiv:1504.08083), section 2.1. RoIWarp: MNC (arXiv:1512.04412), section 3.2.
RoIAlign: Mask R-CNN (arXiv:1703.06870), section 3. The pyramid level of a region: FPN (arXiv:1612.03144), equation 1.

A layer takes one map and regions in that map's pixels. `Pooler` packs a pyramid into a single map for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from lineage.ops.roi_align import roi_align

Layer = Callable[[Tensor, Tensor], Tensor]  # map [B, C, H, W], rois [R, 5] (image, x1, y1, x2, y2) -> [R, C, s, s]


class RoIAlign(nn.Module):
    """Bilinear samples at exact positions, reduced per bin (`reduce`: mean or max); nothing is rounded."""

    def __init__(self, size: int, *, sampling_ratio: int, aligned: bool, reduce: str):
        super().__init__()
        if reduce == "max" and sampling_ratio < 1:
            raise ValueError(f"sampling_ratio={sampling_ratio}: a maximum needs a fixed number of samples, 1 or more")
        self.size, self.sampling_ratio, self.aligned, self.reduce = size, sampling_ratio, aligned, reduce

    def forward(self, feature: Tensor, rois: Tensor) -> Tensor:
        if self.reduce == "mean":
            return roi_align(feature, rois, self.size, self.sampling_ratio, self.aligned)
        # one sample per cell of a finer grid, so that the maximum can be taken outside the kernel
        fine = roi_align(feature, rois, self.size * self.sampling_ratio, 1, self.aligned)
        return F.max_pool2d(fine, self.sampling_ratio)


class RoIWarp(nn.Module):
    """Bilinear samples inside a region whose border is rounded to the map's pixels, as in RoIPool."""

    def __init__(self, size: int, *, sampling_ratio: int, reduce: str):
        super().__init__()
        self.align = RoIAlign(size, sampling_ratio=sampling_ratio, aligned=False, reduce=reduce)

    def forward(self, feature: Tensor, rois: Tensor) -> Tensor:
        image, corners = rois[:, :1], rois[:, 1:].round()
        low, high = corners[:, :2], corners[:, 2:] + 1  # RoIPool includes the last pixel
        return self.align(feature, torch.cat((image, low, high), dim=1))


class RoIPool(nn.Module):
    """Maximum over bins of whole pixels."""

    def __init__(self, size: int):
        super().__init__()
        self.size = size

    def forward(self, feature: Tensor, rois: Tensor) -> Tensor:
        # torchvision's CPU kernel takes one type only; under mixed precision the map is half as precise as the regions
        return torchvision.ops.roi_pool(feature.to(rois.dtype), rois, self.size, 1.0)


class Pooler(nn.Module):
    """Pools the regions of a batch, each from the pyramid level that fits its size -> [B * N, C, size, size].

    canonical_size, canonical_level: a region of this side in pixels belongs to this level (FPN: 224, 4).
    """

    def __init__(
        self,
        layer: Callable[[int], Layer],
        *,
        size: int,
        strides: Sequence[int],
        canonical_size: int,
        canonical_level: int,
    ):
        super().__init__()
        self.layer, self.size, self.strides = layer(size), size, tuple(strides)
        self.canonical_size, self.canonical_level = canonical_size, canonical_level

    def forward(self, features: Sequence[Tensor], boxes: Tensor) -> Tensor:
        """Pool boxes [B, N, 4] from features, fine to coarse, one per stride; coarser ones are ignored."""
        batch, num_regions = boxes.shape[:2]
        image = torch.arange(batch, device=boxes.device).repeat_interleave(num_regions)
        maps = features[: len(self.strides)]
        if len(maps) == 1:
            packed, inside = maps[0], boxes / self.strides[0]
        else:
            packed, offsets = pack_levels(maps)
            level, inside = self._level(boxes)[..., None], boxes
            for index, (stride, (x, y)) in enumerate(zip(self.strides, offsets, strict=True)):
                shifted = torch.stack((boxes[..., 0::2] / stride + x, boxes[..., 1::2] / stride + y), -1).flatten(-2)
                inside = torch.where(level == index, shifted, inside)
        rois = torch.cat((image[:, None].to(inside.dtype), inside.flatten(0, 1)), dim=1)
        return self.layer(packed, rois)

    def _level(self, boxes: Tensor) -> Tensor:
        """Return the level of FPN's equation 1, k = floor(k0 + log2(sqrt(w h) / 224)), counted from the finest map."""
        width, height = boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1]
        # the 1e-6 is Detectron's: a region of exactly 224 pixels belongs to level k0
        side = (width * height).clamp(min=0).sqrt()
        level = torch.floor(self.canonical_level + torch.log2(side / self.canonical_size) + 1e-6)
        finest = int(math.log2(self.strides[0]))
        return level.clamp(finest, finest + len(self.strides) - 1).long() - finest


def pack_levels(maps: Sequence[Tensor]) -> tuple[Tensor, list[tuple[float, float]]]:
    """Pack all levels into one map (the finest left, the others stacked right); also return the (x, y) of each origin.

    One kernel call then serves every level, without index lists and without waiting for the device. Each level is
    padded with its own border pixels, which is what RoIAlign reads there, so the result equals level-wise calls.
    """
    padded = [F.pad(level, (1, 1, 1, 1), mode="replicate") for level in maps]
    column = torch.cat([F.pad(level, (0, padded[1].shape[3] - level.shape[3])) for level in padded[1:]], dim=2)
    height = max(padded[0].shape[2], column.shape[2])
    columns = [F.pad(x, (0, 0, 0, height - x.shape[2])) for x in (padded[0], column)]
    offsets, top = [(1.0, 1.0)], 1.0
    for level in padded[1:]:
        offsets.append((padded[0].shape[3] + 1.0, top))
        top += level.shape[2]
    return torch.cat(columns, dim=3), offsets
