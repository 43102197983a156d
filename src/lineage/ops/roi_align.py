"""RoIAlign: Mask R-CNN (arXiv:1703.06870), section 3. A bin is the mean of bilinear samples, nothing is rounded.

Regions of a pyramid are pooled in one call, each from its level. Three ways give the same up to rounding:
- CUDA: the Triton kernels of roi_align_cuda.py, which read every level in place (roi_align_levels.py).
- CPU: torchvision's kernel is slow in the backward pass, the most expensive operation of a training step. A bin is a
  weighted sum of the map's pixels, so here all bins are bags of `embedding_bag`, which reads whole rows of channels:
  forward plus backward 4 to 8 times faster.
- else (another type or device, deterministic algorithms, a captured program, as ONNX has that operator): torchvision's.
The last two read one map, so levels are packed into an atlas.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor

from lineage.ops.atlas import pack
from lineage.ops.fused_roi import roi_align_levels, runs_fused


def roi_align(
    maps: Sequence[Tensor], rois: Tensor, level: Tensor | None, size: int, sampling_ratio: int, aligned: bool
) -> Tensor:
    """Pool maps [B, C, H, W] in regions [R, 5] (image, x1, y1, x2, y2) -> [R, C, size, size].

    level: [R] int64, each region's map, in whose pixels it is; None with a single map.
    sampling_ratio: a bin has its square of samples; 0: as many as it covers pixels.
    """
    if runs_fused(maps):
        return roi_align_levels(maps, rois, level, size, sampling_ratio, aligned)
    feature, rois = pack(maps, rois, level)
    if feature.device.type == "cpu" and sampling_ratio > 0 and not torch.compiler.is_exporting():
        return roi_align_bags(feature, rois, size, sampling_ratio, aligned)
    return torchvision.ops.roi_align(feature, rois, size, 1.0, sampling_ratio, aligned)


def roi_align_bags(feature: Tensor, rois: Tensor, size: int, sampling_ratio: int, aligned: bool) -> Tensor:
    """Compute the same as sums of pixels: a sample reads four, so a bin is a bag of 4 * sampling_ratio^2."""
    channels, height, width = feature.shape[1:]
    exact = torch.promote_types(feature.dtype, torch.float32)  # as torchvision's: half precision is too coarse
    corners = rois[:, 1:].to(exact) - (0.5 if aligned else 0.0)
    x, along_x = _samples(corners[:, 0], corners[:, 2], width, size, sampling_ratio, aligned)
    y, along_y = _samples(corners[:, 1], corners[:, 3], height, size, sampling_ratio, aligned)
    row = y + rois[:, :1, None].int() * height
    pixel = (
        row[:, :, None, :, None] * width + x[:, None, :, None, :]
    )  # [R, size, size, 2 sampling_ratio, 2 sampling_ratio]
    weight = along_y[:, :, None, :, None] * along_x[:, None, :, None, :]
    # of a single image the reshaped map would be a view, whose scattered channels embedding_bag reads 15 times slower
    pixels = feature.to(exact).permute(0, 2, 3, 1).reshape(-1, channels).contiguous()
    bags, weights = (field.reshape(-1, 4 * sampling_ratio**2) for field in (pixel, weight))
    bins = F.embedding_bag(bags, pixels, per_sample_weights=weights, mode="sum")
    return bins.view(-1, size, size, channels).permute(0, 3, 1, 2).to(feature.dtype)


def _samples(
    low: Tensor, high: Tensor, extent: int, size: int, sampling_ratio: int, aligned: bool
) -> tuple[Tensor, Tensor]:
    """Return the pixels of each bin along one axis, [R, size, 2 sampling_ratio] int32, and their weights (sum 1)."""
    length = high - low if aligned else (high - low).clamp(min=1)
    step = (torch.arange(size * sampling_ratio, device=low.device, dtype=low.dtype) + 0.5) / (size * sampling_ratio)
    position = low[:, None] + step * length[:, None]
    inside = ((position >= -1) & (position <= extent)) / sampling_ratio
    position = position.clamp(0, extent - 1)
    before = position.floor()
    fraction = position - before
    pixels = torch.stack((before, (before + 1).clamp(max=extent - 1)), -1).int()
    weights = torch.stack((1 - fraction, fraction), -1) * inside[..., None]
    return pixels.view(-1, size, 2 * sampling_ratio), weights.view(-1, size, 2 * sampling_ratio)
