"""RoIAlign: Mask R-CNN (arXiv:1703.06870), section 3. A bin is the mean of bilinear samples, nothing is rounded.

CUDA runs torchvision's kernel, and so does a captured program, whose operator ONNX knows. On a CPU that kernel takes
the gradient back number by number, which made it the dearest operation of a training step. A bin is a weighted sum of
the map's pixels, so there all bins are bags of `embedding_bag`, which moves whole rows of channels: the same values to
rounding, forward and backward together 4 to 8 times faster.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor


def roi_align(feature: Tensor, rois: Tensor, size: int, sampling: int, aligned: bool) -> Tensor:
    """[B, C, H, W], regions [R, 5] (image, x1, y1, x2, y2) in the map's pixels -> [R, C, size, size].

    A bin has `sampling` x `sampling` samples, 0: as many as it covers pixels.
    """
    if feature.device.type == "cpu" and sampling > 0 and not torch.compiler.is_exporting():
        return in_bags(feature, rois, size, sampling, aligned)
    return torchvision.ops.roi_align(feature, rois, size, 1.0, sampling, aligned)


def in_bags(feature: Tensor, rois: Tensor, size: int, sampling: int, aligned: bool) -> Tensor:
    """The same as sums of pixels: each sample is four of them, so a bin is a bag of 4 * sampling^2."""
    channels, height, width = feature.shape[1:]
    exact = torch.promote_types(feature.dtype, torch.float32)  # as torchvision's: half precision is too coarse
    corners = rois[:, 1:].to(exact) - (0.5 if aligned else 0.0)
    x, along_x = _samples(corners[:, 0], corners[:, 2], width, size, sampling, aligned)
    y, along_y = _samples(corners[:, 1], corners[:, 3], height, size, sampling, aligned)
    row = y + rois[:, :1, None].int() * height
    pixel = row[:, :, None, :, None] * width + x[:, None, :, None, :]  # [R, size, size, 2 sampling, 2 sampling]
    weight = along_y[:, :, None, :, None] * along_x[:, None, :, None, :]
    pixels = feature.to(exact).permute(0, 2, 3, 1).reshape(-1, channels)
    bags, shares = (part.reshape(-1, 4 * sampling**2) for part in (pixel, weight))
    bins = F.embedding_bag(bags, pixels, per_sample_weights=shares, mode="sum")
    return bins.view(-1, size, size, channels).permute(0, 3, 1, 2).to(feature.dtype)


def _samples(low: Tensor, high: Tensor, extent: int, size: int, sampling: int, aligned: bool) -> tuple[Tensor, Tensor]:
    """Along one axis: the pixels of each bin [R, size, 2 sampling] int32 and their weights, 1 in sum inside the map."""
    length = high - low if aligned else (high - low).clamp(min=1)
    step = (torch.arange(size * sampling, device=low.device, dtype=low.dtype) + 0.5) / (size * sampling)
    place = low[:, None] + step * length[:, None]
    inside = ((place >= -1) & (place <= extent)) / sampling
    place = place.clamp(0, extent - 1)
    before = place.floor()
    after = place - before
    pixels = torch.stack((before, (before + 1).clamp(max=extent - 1)), -1).int()
    weights = torch.stack((1 - after, after), -1) * inside[..., None]
    return pixels.view(-1, size, 2 * sampling), weights.view(-1, size, 2 * sampling)
