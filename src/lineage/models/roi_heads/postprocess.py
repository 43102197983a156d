"""Predictions -> detections: Fast R-CNN (arXiv:1504.08083), section 2.4: NMS per class, then the best of an image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lineage.models.roi_heads.nms_variants import Suppression, top_detections
from lineage.ops import boxes as box_ops
from lineage.structures import Detections, Proposals


class Candidates(NamedTuple):
    """Scored boxes before suppression, sorted by falling score."""

    boxes: Tensor  # [B, K, 4]
    scores: Tensor  # [B, K]
    labels: Tensor  # [B, K] int64
    valid: Tensor  # [B, K] bool
    proposal_index: Tensor  # [B, K] int64


def finalize(
    candidates: Candidates,
    probabilities: Callable[[Tensor], Tensor],
    *,
    suppression: Suppression,
    nms_thresh: float,
    detections_per_img: int,
) -> Detections:
    """Suppress duplicates and return the best detections, [B, D] by falling score.

    probabilities: proposal_index [B, D] -> [B, D, C + 1].
    """
    boxes, scores, labels, valid, proposal_index = candidates
    # 1. suppress
    boxes, scores = suppression(boxes, scores, labels, valid, nms_thresh, detections_per_img)
    # 2. the best of each image; empty slots are zero
    scores, slots = top_detections(scores, detections_per_img)
    valid = scores >= 0
    proposal_index = proposal_index.gather(1, slots)
    return Detections(
        boxes=torch.where(valid[..., None], box_ops.take(boxes, slots), 0.0),
        scores=scores.clamp(min=0),
        labels=labels.gather(1, slots),
        valid=valid,
        proposal_index=proposal_index,
        probabilities=probabilities(proposal_index),
    )


def reorder(detections: Detections, order: Tensor) -> Detections:
    """Return the detections [B, D] in another order [B, n], with all that belongs to them."""
    fields = detections._replace(semantic=None)._asdict()
    taken = {name: box_ops.take(value, order) for name, value in fields.items() if isinstance(value, Tensor)}
    extra = {name: box_ops.take(value, order) for name, value in (detections.extra or {}).items()}
    return detections._replace(**taken, extra=extra or None)


class FastRCNNInference:
    """Final detections from probabilities and deltas of proposals.

    score_thresh: lower limit of a detection's score. min_size: shortest side of a detection in pixels.
    topk_candidates: (proposal, class) pairs of an image that enter NMS.
    """

    def __init__(
        self,
        *,
        score_thresh: float,
        nms_thresh: float,
        suppression: Suppression,
        detections_per_img: int,
        topk_candidates: int,
        min_size: float,
    ):
        self.score_thresh, self.nms_thresh, self.detections_per_img = score_thresh, nms_thresh, detections_per_img
        self.suppression, self.topk_candidates, self.min_size = suppression, topk_candidates, min_size

    def __call__(
        self, probabilities: Tensor, deltas: Tensor, proposals: Proposals, weights: Sequence[float], sizes: Tensor
    ) -> Detections:
        """probabilities [B, N, C + 1], deltas [B, N, C or 1, 4] scaled by `weights` -> detections [B, D]"""
        num_classes, num_bbox_reg_classes = probabilities.shape[-1] - 1, deltas.shape[2]
        # 1. the best (proposal, class) pairs: a fixed number; score thresholds leave far fewer, so nothing is lost
        scores = torch.where(proposals.valid[..., None], probabilities[..., :-1], -1.0).flatten(1)
        scores, index = scores.topk(min(self.topk_candidates, scores.shape[1]))
        proposal_index, labels = index // num_classes, index % num_classes
        # 2. decode the deltas of the pair's class and clip to the image
        deltas_index = proposal_index * num_bbox_reg_classes + (labels if num_bbox_reg_classes > 1 else 0)
        anchors = box_ops.take(proposals.boxes, proposal_index)
        boxes = box_ops.decode_inside(box_ops.take(deltas.flatten(1, 2), deltas_index), anchors, weights, sizes)
        # 3. drop low scores and small boxes, then NMS
        valid = (scores > self.score_thresh) & box_ops.has_min_size(boxes, self.min_size)
        return finalize(
            Candidates(boxes, scores, labels, valid, proposal_index),
            lambda index: box_ops.take(probabilities, index),
            suppression=self.suppression,
            nms_thresh=self.nms_thresh,
            detections_per_img=self.detections_per_img,
        )
