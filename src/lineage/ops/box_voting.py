"""Box voting (arXiv:1505.01749, section 4; Mask R-CNN's best results): a survivor moves to where its rivals point."""

from __future__ import annotations

import torch
from torch import Tensor

from lineage.ops import boxes as box_ops


def vote(
    winners: Tensor, labels: Tensor, boxes: Tensor, scores: Tensor, groups: Tensor, valid: Tensor, *, threshold: float
) -> Tensor:
    """Score-weighted mean of the candidates that overlap a winner by `threshold` or more, itself included.

    winners [B, D, 4], labels [B, D]; candidates: boxes [B, K, 4], scores, groups, valid [B, K] -> [B, D, 4]
    """
    near = box_ops.iou(winners, boxes) >= threshold  # [B, D, K]
    near = near & (labels[..., None] == groups[:, None]) & valid[:, None]
    weight = near * scores[:, None]
    total = weight.sum(-1, keepdim=True)
    return torch.where(total > 0, weight @ boxes / total.clamp(min=1e-12), winners)
