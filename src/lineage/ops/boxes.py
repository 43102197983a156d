"""Boxes as tensors: overlap, clipping, and the deltas (dx, dy, dw, dh) of R-CNN (arXiv:1311.2524, appendix C).

All functions broadcast over leading dimensions; the last one is (x1, y1, x2, y2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from lineage.ops.layers.kernels import needs_gradient, runs_kernels

# upper limit of dw and dh, so that exp of an untrained network does not overflow; Detectron's value
MAX_LOG_RATIO = math.log(1000.0 / 16)


def area(boxes: Tensor) -> Tensor:
    """Return areas: [..., 4] -> [...]"""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def intersection(a: Tensor, b: Tensor) -> Tensor:
    """Return pairwise intersections: a [..., N, 4], b [..., M, 4] -> [..., N, M]"""
    a, b = a[..., :, None, :], b[..., None, :, :]
    # four planar [N, M] terms; a stacked [N, M, 2] would double the memory traffic
    width = torch.minimum(a[..., 2], b[..., 2]) - torch.maximum(a[..., 0], b[..., 0])
    height = torch.minimum(a[..., 3], b[..., 3]) - torch.maximum(a[..., 1], b[..., 1])
    return width.clamp(min=0) * height.clamp(min=0)


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Return pairwise intersection over union: a [..., N, 4], b [..., M, 4] -> [..., N, M]"""
    overlap = intersection(a, b)
    return overlap / (area(a)[..., :, None] + area(b)[..., None, :] - overlap)


def clip(boxes: Tensor, sizes: Tensor) -> Tensor:
    """Clip boxes [B, ..., 4] to their images; sizes [B, 2] (height, width)."""
    if _runs_kernel(boxes, sizes) and len(boxes) == len(sizes):
        from lineage.ops.cuda import box_deltas  # Triton loads only where there is a GPU

        return box_deltas.clip(boxes, sizes)
    limit = sizes.flip(-1).repeat(1, 2)  # width, height, width, height
    limit = limit.reshape(-1, *[1] * (boxes.dim() - 2), 4)
    return torch.minimum(boxes.clamp(min=0), limit)


def has_min_size(boxes: Tensor, min_size: float) -> Tensor:
    """Return where both sides are at least `min_size` pixels: [..., 4] -> [...] bool"""
    if _runs_kernel(boxes):
        from lineage.ops.cuda import box_deltas

        return box_deltas.has_min_size(boxes, min_size)
    width, height = boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1]
    return (width >= min_size) & (height >= min_size)


def encode(boxes: Tensor, anchors: Tensor, weights: Sequence[float]) -> Tensor:
    """Return the deltas [..., 4] that move `anchors` onto `boxes`, both [..., 4]; `weights` scale (dx, dy, dw, dh)."""
    if _runs_kernel(boxes, anchors):
        from lineage.ops.cuda import box_deltas

        return box_deltas.encode(boxes, anchors, weights)
    wx, wy, ww, wh = weights
    x, y, width, height = _center(boxes)
    ax, ay, awidth, aheight = _center(anchors)
    return torch.stack(
        (
            wx * (x - ax) / awidth,
            wy * (y - ay) / aheight,
            ww * torch.log(width / awidth),
            wh * torch.log(height / aheight),
        ),
        dim=-1,
    )


def decode(deltas: Tensor, anchors: Tensor, weights: Sequence[float]) -> Tensor:
    """Apply deltas [..., 4] to anchors [..., 4] (broadcast) -> boxes [..., 4]: the inverse of `encode`."""
    if _runs_kernel(deltas, anchors):
        from lineage.ops.cuda import box_deltas

        return box_deltas.decode(deltas, anchors, weights, MAX_LOG_RATIO)
    wx, wy, ww, wh = weights
    ax, ay, awidth, aheight = _center(anchors)
    dx, dy, dw, dh = deltas.unbind(-1)
    x, y = dx / wx * awidth + ax, dy / wy * aheight + ay
    half_width = 0.5 * torch.exp((dw / ww).clamp(max=MAX_LOG_RATIO)) * awidth
    half_height = 0.5 * torch.exp((dh / wh).clamp(max=MAX_LOG_RATIO)) * aheight
    return torch.stack((x - half_width, y - half_height, x + half_width, y + half_height), dim=-1)


def decode_inside(deltas: Tensor, anchors: Tensor, weights: Sequence[float], sizes: Tensor) -> Tensor:
    """Decode [B, ..., 4] and clip the boxes to their images; sizes [B, 2] (height, width)."""
    if _runs_kernel(deltas, anchors, sizes) and len(deltas) == len(sizes) and deltas.dim() >= anchors.dim():
        from lineage.ops.cuda import box_deltas

        return box_deltas.decode(deltas, anchors, weights, MAX_LOG_RATIO, sizes)
    return clip(decode(deltas, anchors, weights), sizes)


def decode_at(deltas: Tensor, anchors: Tensor, index: Tensor, weights: Sequence[float], sizes: Tensor) -> Tensor:
    """Decode and clip what `index` [B, ..., K] chooses of deltas [B, A, 4] and anchors [A, 4] -> [B, ..., K, 4]

    Of an index below 0 the box is zeros.
    """
    if _runs_kernel(deltas, anchors, sizes):
        from lineage.ops.cuda import box_deltas

        return box_deltas.decode_at(deltas, anchors, index, weights, MAX_LOG_RATIO, sizes)
    chosen = index.clamp(min=0)
    boxes = decode_inside(take(deltas, chosen.flatten(1)).view(*index.shape, 4), anchors[chosen], weights, sizes)
    return torch.where((index >= 0)[..., None], boxes, 0.0)


def _runs_kernel(*tensors: Tensor) -> bool:
    floats = all(tensor.dtype == torch.float32 for tensor in tensors)
    return floats and runs_kernels(tensors[0]) and not needs_gradient(*tensors)


def _center(boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x1, y1, x2, y2 = boxes.unbind(-1)
    width, height = x2 - x1, y2 - y1
    return x1 + 0.5 * width, y1 + 0.5 * height, width, height


def take(values: Tensor, index: Tensor) -> Tensor:
    """Gather slots: values [B, N, ...] and index [B, M] -> [B, M, ...]"""
    tail = values.shape[2:]
    return values.gather(1, index.reshape(*index.shape, *[1] * len(tail)).expand(*index.shape, *tail))
