"""Soft-NMS (arXiv:1704.04503): overlapping boxes lose score instead of being dropped.

Each round takes the best remaining box of every image and lowers its neighbours. The number of rounds is the number of
boxes needed, and no shape depends on the values.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lineage.ops import boxes as box_ops


def soft_nms(
    boxes: Tensor, scores: Tensor, groups: Tensor, valid: Tensor, *, rounds: int, threshold: float, sigma: float | None
) -> Tensor:
    """Return scores after decay: boxes [B, K, 4], scores, groups, valid [B, K] -> [B, K], -1 for all but `rounds` best.

    Equation 3, s (1 - iou) where iou > threshold, if sigma is None; else equation 4, s exp(-iou^2 / sigma). Only boxes
    of one group lower each other. Taking the best of all groups at once keeps the order within each group.
    """
    remaining = torch.where(valid, scores, -1.0)
    final = torch.full_like(scores, -1.0)
    for _ in range(min(rounds, scores.shape[1])):
        value, index = remaining.max(1, keepdim=True)
        final = final.scatter_reduce(1, index, value, "amax")  # value -1 (no box remains) changes nothing
        iou = box_ops.iou(box_ops.take(boxes, index), boxes)[:, 0].nan_to_num()  # of two boxes without area
        iou = iou.to(scores.dtype)
        near = (groups == groups.gather(1, index)) & (value >= 0)
        if sigma is None:
            decay = torch.where(near & (iou > threshold), 1 - iou, 1.0)
        else:
            decay = torch.where(near, torch.exp(-(iou**2) / sigma), 1.0)
        remaining = torch.where(remaining >= 0, remaining * decay, remaining).scatter(1, index, -1.0)
    return final
