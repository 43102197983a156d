"""Mask targets: ground-truth masks cropped and resized to regions (Mask R-CNN, arXiv:1703.06870, section 3.1).

A RoIAlign over binary windows. Masks never exist at image size: every sampling point reads its four pixels from the
instance's own window; a pixel outside the window is 0.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lineage.ops.boxes import take
from lineage.ops.layers.kernels import needs_gradient, runs_kernels
from lineage.structures import Masks


def crop_and_resize(
    masks: Masks, boxes: Tensor, matched_idx: Tensor, sizes: Tensor, *, size: int, sampling_ratio: int, aligned: bool
) -> Tensor:
    """Return mask means in bins: boxes [B, P, 4], matched_idx [B, P], sizes [B, 2] -> [B, P, size, size] in 0..1.

    A bin has ceil(its side) samples along each axis, like RoIAlign's adaptive grid, but at most `sampling_ratio`.
    """
    if runs_kernels(boxes) and boxes.dtype == sizes.dtype == torch.float32 and not needs_gradient(boxes):
        from lineage.ops.cuda import mask_crops  # Triton loads only where there is a GPU

        return mask_crops.crop_and_resize(masks, boxes, matched_idx, sizes, size, sampling_ratio, aligned)
    window = take(masks.windows, matched_idx)
    offset = take(masks.offsets, matched_idx)
    start, extent = boxes[..., :2], boxes[..., 2:] - boxes[..., :2]
    if not aligned:
        extent = extent.clamp(min=1)  # torchvision's unaligned RoIAlign: at least one pixel
    limits = sizes.flip(-1)[:, None]  # [B, 1, 2] as (width, height)
    xs, x_weight = _points(start[..., 0], extent[..., 0], limits[..., 0], size, sampling_ratio, aligned)
    ys, y_weight = _points(start[..., 1], extent[..., 1], limits[..., 1], size, sampling_ratio, aligned)
    values = _bilinear(masks.bits, offset, window, xs, ys)
    weighted = values * y_weight[..., :, None] * x_weight[..., None, :]
    return weighted.unflatten(3, (size, sampling_ratio)).unflatten(2, (size, sampling_ratio)).sum((3, 5))


def sample_points(masks: Masks, points: Tensor, matched_idx: Tensor) -> Tensor:
    """Return bilinear values of each region's mask: points [B, N, P, 2], matched_idx [B, N] -> [B, N, P] in 0..1."""
    count = points.shape[2]
    window = take(masks.windows, matched_idx).repeat_interleave(count, 1)
    offset = take(masks.offsets, matched_idx).repeat_interleave(count, 1)
    x, y = (points - 0.5).flatten(1, 2).unbind(-1)
    return _bilinear(masks.bits, offset, window, x[..., None], y[..., None]).view(points.shape[:-1])


def _points(
    start: Tensor, extent: Tensor, limit: Tensor, size: int, sampling_ratio: int, aligned: bool
) -> tuple[Tensor, Tensor]:
    """Return positions along one axis, [B, P, size * sampling_ratio], and the weight of each in its bin."""
    bin_side = extent / size
    samples = bin_side.ceil().clamp(1, sampling_ratio)[..., None]  # [B, P, 1]
    step = torch.arange(sampling_ratio, device=start.device)
    inside_bin = (step + 0.5) / samples  # [B, P, sampling_ratio]
    weight = (step < samples) / samples
    bins = torch.arange(size, device=start.device)[:, None]
    points = start[..., None, None] + (bins + inside_bin[..., None, :]) * bin_side[..., None, None]
    points = (points - 0.5 if aligned else points).flatten(2)
    # beyond the centres of the outermost pixels the image is continued by its border
    points = torch.minimum(points.clamp(min=0), (limit - 1)[..., None])
    return points, weight[..., None, :].expand(*weight.shape[:2], size, sampling_ratio).flatten(2)


def _bilinear(bits: Tensor, offset: Tensor, window: Tensor, xs: Tensor, ys: Tensor) -> Tensor:
    """Return values at the grid ys x xs of every region: [B, P, len(ys), len(xs)]"""
    left, top = xs.floor(), ys.floor()
    right, bottom = (xs - left)[..., None, :], (ys - top)[..., :, None]
    x, y, width, height = window.unbind(-1)

    def look_up(row: Tensor, column: Tensor) -> Tensor:
        row, column = (row.long() - y[..., None])[..., :, None], (column.long() - x[..., None])[..., None, :]
        rows, columns = height[..., None, None], width[..., None, None]
        inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
        index = offset[..., None, None] + row * columns + column
        return torch.where(inside, bits[torch.where(inside, index, 0)].float(), 0.0)

    upper = look_up(top, left) * (1 - right) + look_up(top, left + 1) * right
    lower = look_up(top + 1, left) * (1 - right) + look_up(top + 1, left + 1) * right
    return upper * (1 - bottom) + lower * bottom
