"""Box regression by overlap: the code is decoded and compared with the object as a box.

IoU (UnitBox, arXiv:1608.01471), bounded IoU (arXiv:1711.00164), GIoU (arXiv:1902.09630), DIoU and CIoU
(arXiv:1911.08287). All see boxes [..., 4] and cost [...], 0 where both agree; `eps` is for empty boxes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lineage.ops import boxes as box_ops

Cost = Callable[[Tensor, Tensor], Tensor]


class DecodedBoxLoss(nn.Module):
    """A regression loss for box and dense heads: `loss_weight` x loss_fn(decoded box, object)."""

    def __init__(self, *, loss_fn: Cost, loss_weight: float):
        super().__init__()
        self.loss_fn, self.loss_weight = loss_fn, loss_weight

    def forward(
        self, deltas: Tensor, regions: Tensor, truth: Tensor, foreground: Tensor, weights: Sequence[float]
    ) -> Tensor:
        """Codes, regions and objects [B, N, 4], foreground [B, N] bool -> [B, N], 0 where not foreground"""
        unit = deltas.new_tensor([0.0, 0.0, 1.0, 1.0])  # stands in where a box may have no size
        slot = foreground[..., None]
        codes, regions = torch.where(slot, deltas, 0.0), torch.where(slot, regions, unit)
        boxes = box_ops.decode(codes, regions, weights)
        return self.loss_weight * self.loss_fn(boxes, torch.where(slot, truth, unit)) * foreground


class _Pair(NamedTuple):
    """What two boxes share: all [...]"""

    union: Tensor
    iou: Tensor
    width: Tensor  # of the smallest box around both
    height: Tensor


def _pair(a: Tensor, b: Tensor, eps: float) -> _Pair:
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    union = box_ops.area(a) + box_ops.area(b) - shared
    hull = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    return _Pair(union, shared / (union + eps), hull[..., 0], hull[..., 1])


def iou(boxes: Tensor, truth: Tensor, *, eps: float, logarithm: bool) -> Tensor:
    """-log IoU as UnitBox has it, or 1 - IoU"""
    overlap = _pair(boxes, truth, eps).iou
    return -overlap.clamp(min=eps).log() if logarithm else 1 - overlap


def giou(boxes: Tensor, truth: Tensor, *, eps: float) -> Tensor:
    """1 - IoU + the share of the hull that neither box covers: a gradient also where they do not touch"""
    pair = _pair(boxes, truth, eps)
    hull = pair.width * pair.height
    return 1 - pair.iou + (hull - pair.union) / (hull + eps)


def diou(boxes: Tensor, truth: Tensor, *, eps: float) -> Tensor:
    """1 - IoU + (distance of centres / diagonal of the hull)^2"""
    pair = _pair(boxes, truth, eps)
    between = (boxes[..., :2] + boxes[..., 2:] - truth[..., :2] - truth[..., 2:]) / 2
    return 1 - pair.iou + between.square().sum(-1) / (pair.width**2 + pair.height**2 + eps)


def ciou(boxes: Tensor, truth: Tensor, *, eps: float) -> Tensor:
    """diou + how far the ratios of width and height are apart"""
    shape = (4 / math.pi**2) * (_angle(truth) - _angle(boxes)) ** 2
    with torch.no_grad():
        share = shape / (1 - _pair(boxes, truth, eps).iou + shape + eps)
    return diou(boxes, truth, eps=eps) + share * shape


def _angle(boxes: Tensor) -> Tensor:
    sides = boxes[..., 2:] - boxes[..., :2]
    return torch.atan(sides[..., 0] / sides[..., 1])


def bounded_iou(boxes: Tensor, truth: Tensor, *, beta: float, eps: float) -> Tensor:
    """An upper bound of 1 - IoU for each of x, y, width, height with the other three exact; smooth below `beta`"""
    side, own = truth[..., 2:] - truth[..., :2], boxes[..., 2:] - boxes[..., :2]
    off = ((boxes[..., :2] + boxes[..., 2:] - truth[..., :2] - truth[..., 2:]) / 2).abs()
    place = 1 - ((side - 2 * off) / (side + 2 * off + eps)).clamp(min=0)
    size = 1 - torch.minimum(side / (own + eps), own / (side + eps))
    each = torch.cat((place, size), -1)
    return torch.where(each < beta, 0.5 * each**2 / beta, each - 0.5 * beta).sum(-1)
