"""From scored regions to detections: Fast R-CNN (arXiv:1504.08083), section 2.4: NMS per class, best of an image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lineage.models.roi_heads.nms_variants import Suppression
from lineage.models.roi_heads.nms_variants import best as best_slots
from lineage.ops import boxes as box_ops
from lineage.structures import Detections, Proposals


def reorder(detections: Detections, order: Tensor) -> Detections:
    """Return the detections [B, D] in another order [B, n], with all that belongs to them."""
    fields = detections._replace(semantic=None)._asdict()
    taken = {name: box_ops.take(value, order) for name, value in fields.items() if isinstance(value, Tensor)}
    extra = {name: box_ops.take(value, order) for name, value in (detections.extra or {}).items()}
    return detections._replace(**taken, extra=extra or None)


class Selection:
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
        self, probabilities: Tensor, deltas: Tensor, rois: Proposals, weights: Sequence[float], sizes: Tensor
    ) -> Detections:
        """probabilities [B, N, C + 1], deltas [B, N, codes, 4] (codes: C or 1) -> [B, D] detections by falling score"""
        classes, codes = probabilities.shape[-1] - 1, deltas.shape[2]
        scores = torch.where(rois.valid[..., None], probabilities[..., :-1], -1.0).flatten(1)
        # pairs are cut to a fixed number before NMS; 5 % thresholds leave far fewer, so nothing is lost
        best, index = scores.topk(min(self.topk_candidates, scores.shape[1]))
        region, label = index // classes, index % classes
        code = region * codes + (label if codes > 1 else 0)
        boxes = box_ops.decode(box_ops.take(deltas.flatten(1, 2), code), box_ops.take(rois.boxes, region), weights)
        boxes = box_ops.clip(boxes, sizes)
        usable = (best > self.score_thresh) & box_ops.large(boxes, self.min_size)
        boxes, kept = self.suppression(boxes, best, label, usable, self.nms_thresh, self.detections_per_img)
        score, order = best_slots(kept, self.detections_per_img)
        valid, region = score >= 0, region.gather(1, order)
        return Detections(
            boxes=torch.where(valid[..., None], box_ops.take(boxes, order), 0.0),
            scores=score.clamp(min=0),
            labels=label.gather(1, order),
            valid=valid,
            proposal_index=region,
            probabilities=box_ops.take(probabilities, region),
        )
