"""Box voting (arXiv:1505.01749, section 4; Mask R-CNN's best results): average a detection with its neighbours."""

from __future__ import annotations

import torch
from torch import Tensor

from lineage.ops import boxes as box_ops


def vote(
    detections: Tensor,
    labels: Tensor,
    boxes: Tensor,
    scores: Tensor,
    groups: Tensor,
    valid: Tensor,
    *,
    threshold: float,
) -> Tensor:
    """Return the score-weighted mean of each detection and its candidates with an IoU of `threshold` or more.

    detections [B, D, 4], labels [B, D]; candidates: boxes [B, K, 4], scores, groups, valid [B, K] -> [B, D, 4]
    """
    near = box_ops.iou(detections, boxes) >= threshold  # [B, D, K]
    near = near & (labels[..., None] == groups[:, None]) & valid[:, None]
    weight = near * scores[:, None].to(boxes.dtype)
    total = weight.sum(-1, keepdim=True)
    return torch.where(total > 0, weight @ boxes / total.clamp(min=1e-12), detections)
