"""What happens to boxes that say the same thing: greedy NMS, Soft-NMS, box voting, within a class or across classes.

All take candidates sorted by falling score and answer with as many: where they now are, and their scores, -1 for those
that are out. Shapes never change.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from lineage.ops import boxes as box_ops
from lineage.ops.box_voting import vote
from lineage.ops.nms import nms
from lineage.ops.soft_nms import soft_nms


class Suppression(Protocol):
    def __call__(
        self, boxes: Tensor, scores: Tensor, labels: Tensor, valid: Tensor, threshold: float, detections: int
    ) -> tuple[Tensor, Tensor]:
        """boxes [B, K, 4], scores, labels, valid [B, K], best first; an IoU above `threshold` is a repetition.

        At most `detections` of an image will be used. -> boxes [B, K, 4], scores [B, K]
        """
        ...


def best(scores: Tensor, detections: int) -> tuple[Tensor, Tensor]:
    """The scores and slots of what an image shows in the end: two of [B, D]"""
    return scores.topk(min(detections, scores.shape[1]))


class GreedyNMS:
    """Greedy NMS (R-CNN, arXiv:1311.2524, section 2.2), class by class, or across classes if `class_agnostic`."""

    def __init__(self, *, class_agnostic: bool):
        self.class_agnostic = class_agnostic

    def __call__(
        self, boxes: Tensor, scores: Tensor, labels: Tensor, valid: Tensor, threshold: float, detections: int
    ) -> tuple[Tensor, Tensor]:
        groups = torch.zeros_like(labels) if self.class_agnostic else labels
        return boxes, torch.where(nms(boxes, groups, valid, threshold), scores, -1.0)


class SoftNMS:
    """Soft-NMS (arXiv:1704.04503): linear if `sigma` is null, else Gaussian; below `min_score` a box is out."""

    def __init__(self, *, sigma: float | None, min_score: float, class_agnostic: bool):
        self.sigma, self.min_score, self.class_agnostic = sigma, min_score, class_agnostic

    def __call__(
        self, boxes: Tensor, scores: Tensor, labels: Tensor, valid: Tensor, threshold: float, detections: int
    ) -> tuple[Tensor, Tensor]:
        groups = torch.zeros_like(labels) if self.class_agnostic else labels
        decayed = soft_nms(boxes, scores, groups, valid, rounds=detections, threshold=threshold, sigma=self.sigma)
        return boxes, torch.where(decayed >= self.min_score, decayed, -1.0)


class BoxVoting:
    """What survives `inner` moves to the mean of the candidates of its class around it."""

    def __init__(self, *, inner: Suppression, vote_thresh: float):
        self.inner, self.vote_thresh = inner, vote_thresh

    def __call__(
        self, boxes: Tensor, scores: Tensor, labels: Tensor, valid: Tensor, threshold: float, detections: int
    ) -> tuple[Tensor, Tensor]:
        moved, kept = self.inner(boxes, scores, labels, valid, threshold, detections)
        score, slot = best(kept, detections)  # only what will be shown is moved: [B, D, K] overlaps, not [B, K, K]
        winners, own = box_ops.take(moved, slot), labels.gather(1, slot)
        voted = vote(winners, own, boxes, scores, labels, valid, threshold=self.vote_thresh)
        voted = torch.where((score >= 0)[..., None], voted, winners)
        return moved.scatter(1, slot[..., None].expand(-1, -1, 4), voted), kept
