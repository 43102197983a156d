"""Suppression of duplicate detections: none, greedy NMS, Soft-NMS, box voting, within a class or across classes.

All take candidates sorted by falling score and return as many boxes and scores; suppressed candidates have score -1.
Shapes never change.
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
    """A way to suppress duplicates; its IoU threshold is the head's `nms_thresh`."""

    def __call__(
        self, boxes: Tensor, scores: Tensor, labels: Tensor, valid: Tensor, threshold: float, detections: int
    ) -> tuple[Tensor, Tensor]:
        """boxes [B, K, 4], scores, labels, valid [B, K], best first -> boxes [B, K, 4], scores [B, K]

        threshold: boxes with a larger IoU are duplicates. detections: at most this many of an image are used.
        """
        ...


def top_detections(scores: Tensor, detections: int) -> tuple[Tensor, Tensor]:
    """Return the scores and slots of the best `detections` of each image: two of [B, D]"""
    return scores.topk(min(detections, scores.shape[1]))


class NoSuppression:
    """Every candidate survives: a peak of a heat map is an object (CenterNet, arXiv:1904.07850, section 4)."""

    def __call__(
        self, boxes: Tensor, scores: Tensor, labels: Tensor, valid: Tensor, threshold: float, detections: int
    ) -> tuple[Tensor, Tensor]:
        return boxes, torch.where(valid, scores, -1.0)


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
    """Soft-NMS (arXiv:1704.04503): linear if `sigma` is null, else Gaussian; scores below `min_score` are dropped."""

    def __init__(self, *, sigma: float | None, min_score: float, class_agnostic: bool):
        self.sigma, self.min_score, self.class_agnostic = sigma, min_score, class_agnostic

    def __call__(
        self, boxes: Tensor, scores: Tensor, labels: Tensor, valid: Tensor, threshold: float, detections: int
    ) -> tuple[Tensor, Tensor]:
        groups = torch.zeros_like(labels) if self.class_agnostic else labels
        decayed = soft_nms(boxes, scores, groups, valid, rounds=detections, threshold=threshold, sigma=self.sigma)
        return boxes, torch.where(decayed >= self.min_score, decayed, -1.0)


class BoxVoting:
    """Detections that survive `inner` move to the weighted mean of the candidates of their class around them."""

    def __init__(self, *, inner: Suppression, vote_thresh: float):
        self.inner, self.vote_thresh = inner, vote_thresh

    def __call__(
        self, boxes: Tensor, scores: Tensor, labels: Tensor, valid: Tensor, threshold: float, detections: int
    ) -> tuple[Tensor, Tensor]:
        # 1. suppress
        boxes_after, scores_after = self.inner(boxes, scores, labels, valid, threshold, detections)
        # 2. average the detections that will be used: [B, D, K] overlaps, not [B, K, K]
        top_scores, slots = top_detections(scores_after, detections)
        top_boxes = box_ops.take(boxes_after, slots)
        top_labels = labels.gather(1, slots)
        voted = vote(top_boxes, top_labels, boxes, scores, labels, valid, threshold=self.vote_thresh)
        voted = torch.where((top_scores >= 0)[..., None], voted, top_boxes)
        # 3. write them back
        return boxes_after.scatter(1, slots[..., None].expand(-1, -1, 4), voted), scores_after
