"""Box regression by overlap: the deltas are decoded and the box is compared with the ground truth.

IoU (UnitBox, arXiv:1608.01471), bounded IoU (arXiv:1711.00164), GIoU (arXiv:1902.09630), DIoU and CIoU
(arXiv:1911.08287). All take boxes [..., 4] and return losses [...], 0 if both are equal; `eps` avoids division by 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lineage.ops import boxes as box_ops

BoxLoss = Callable[[Tensor, Tensor], Tensor]


class DecodedBoxLoss(nn.Module):
    """Box regression loss `loss_weight` * loss_fn(decoded box, ground truth), for box and dense heads."""

    def __init__(self, *, loss_fn: BoxLoss, loss_weight: float):
        super().__init__()
        self.loss_fn, self.loss_weight = loss_fn, loss_weight

    def forward(
        self, deltas: Tensor, regions: Tensor, gt_boxes: Tensor, foreground: Tensor, weights: Sequence[float]
    ) -> Tensor:
        """deltas, regions and gt_boxes [B, N, 4], foreground [B, N] bool -> [B, N], 0 where not foreground"""
        unit = deltas.new_tensor([0.0, 0.0, 1.0, 1.0])  # replaces boxes of slots that are not foreground
        mask = foreground[..., None]
        deltas, regions = torch.where(mask, deltas, 0.0), torch.where(mask, regions, unit)
        boxes = box_ops.decode(deltas, regions, weights)
        return self.loss_weight * self.loss_fn(boxes, torch.where(mask, gt_boxes, unit)) * foreground


class _Pair(NamedTuple):
    """Union, IoU and hull (the smallest box around both) of two boxes: all [...]"""

    union: Tensor
    iou: Tensor
    hull_width: Tensor
    hull_height: Tensor


def _pair(a: Tensor, b: Tensor, eps: float) -> _Pair:
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    intersection = (high - low).clamp(min=0).prod(-1)
    union = box_ops.area(a) + box_ops.area(b) - intersection
    hull = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    return _Pair(union, intersection / (union + eps), hull[..., 0], hull[..., 1])


def iou(boxes: Tensor, gt_boxes: Tensor, *, eps: float, logarithm: bool) -> Tensor:
    """Return -log IoU (UnitBox), or 1 - IoU."""
    overlap = _pair(boxes, gt_boxes, eps).iou
    return -overlap.clamp(min=eps).log() if logarithm else 1 - overlap


def giou(boxes: Tensor, gt_boxes: Tensor, *, eps: float) -> Tensor:
    """Return 1 - IoU + the fraction of the hull that neither box covers: boxes apart have a gradient too."""
    pair = _pair(boxes, gt_boxes, eps)
    hull = pair.hull_width * pair.hull_height
    return 1 - pair.iou + (hull - pair.union) / (hull + eps)


def diou(boxes: Tensor, gt_boxes: Tensor, *, eps: float) -> Tensor:
    """Return 1 - IoU + (distance of centres / diagonal of the hull)^2."""
    pair = _pair(boxes, gt_boxes, eps)
    offset = (boxes[..., :2] + boxes[..., 2:] - gt_boxes[..., :2] - gt_boxes[..., 2:]) / 2
    return 1 - pair.iou + offset.square().sum(-1) / (pair.hull_width**2 + pair.hull_height**2 + eps)


def ciou(boxes: Tensor, gt_boxes: Tensor, *, eps: float) -> Tensor:
    """Return DIoU loss + alpha * v, the penalty of different aspect ratios."""
    v = (4 / math.pi**2) * (_angle(gt_boxes) - _angle(boxes)) ** 2
    with torch.no_grad():
        alpha = v / (1 - _pair(boxes, gt_boxes, eps).iou + v + eps)
    return diou(boxes, gt_boxes, eps=eps) + alpha * v


def _angle(boxes: Tensor) -> Tensor:
    sides = boxes[..., 2:] - boxes[..., :2]
    return torch.atan(sides[..., 0] / sides[..., 1])


def bounded_iou(boxes: Tensor, gt_boxes: Tensor, *, beta: float, eps: float) -> Tensor:
    """Return the bound of 1 - IoU for each of x, y, width, height if the others are exact; smooth below `beta`."""
    gt_side, side = gt_boxes[..., 2:] - gt_boxes[..., :2], boxes[..., 2:] - boxes[..., :2]
    offset = ((boxes[..., :2] + boxes[..., 2:] - gt_boxes[..., :2] - gt_boxes[..., 2:]) / 2).abs()
    centre_loss = 1 - ((gt_side - 2 * offset) / (gt_side + 2 * offset + eps)).clamp(min=0)
    size_loss = 1 - torch.minimum(gt_side / (side + eps), side / (gt_side + eps))
    losses = torch.cat((centre_loss, size_loss), -1)
    return torch.where(losses < beta, 0.5 * losses**2 / beta, losses - 0.5 * beta).sum(-1)
