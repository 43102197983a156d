"""The integral loss (MultiPath network, arXiv:1604.02135, section 3.3), which Cascade R-CNN (arXiv:1712.00726, section
3.2) compares with: classifiers for several IoU thresholds side by side, on the same regions, and one box regressor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lineage.models.roi_heads.box_head import BoxHead
from lineage.ops import boxes as box_ops
from lineage.structures import Detections, Images, Loss, Losses, Proposals, SampledProposals, Targets


class IntegralBoxHead(nn.Module):
    """A box head (its arguments are `head`) for each of `ious`; the first, of the lowest IoU, moves the boxes.

    The other heads' regressors do not exist. Scores are the mean of all classifiers.
    """

    def __init__(self, channels: int, *, ious: Sequence[float], **head: Any):
        super().__init__()
        self.heads = nn.ModuleList(BoxHead(channels, **head) for _ in ious)
        for other in self.heads[1:]:
            other.deltas = nn.Identity()
        self.ious, self.num_classes = list(ious), self.heads[0].num_classes

    def losses(
        self, features: list[Tensor], rois: SampledProposals, targets: Targets, images: Images
    ) -> tuple[list[SampledProposals], Losses]:
        first, others = self.heads[0], list(self.heads)[1:]
        logits, deltas = first.predict(features, rois.boxes)
        cls, box = first.costs(logits, deltas, rois, targets)
        truth = box_ops.take(targets.boxes, rois.matched_idx)
        overlap = box_ops.iou(rois.boxes[:, :, None], truth[:, :, None])[:, :, 0, 0]
        for head, threshold in zip(others, self.ious[1:], strict=True):
            near = (rois.labels < self.num_classes) & (overlap >= threshold)
            labels = torch.where(near, rois.labels, self.num_classes)
            cls = cls + head.classification(head.logits(features, rois.boxes), labels, rois.valid)
        sampled = rois.valid.sum().float()
        return [rois], {
            "roi_cls": Loss(cls.sum(), sampled, first.diagnose(logits, rois)),
            "roi_box": Loss(box.sum(), sampled),
        }

    def detect(self, features: list[Tensor], rois: Proposals, images: Images) -> Detections:
        first, others = self.heads[0], list(self.heads)[1:]
        logits, deltas = first.predict(features, rois.boxes)
        scores = [first.classification.probabilities(logits)]
        scores += [head.classification.probabilities(head.logits(features, rois.boxes)) for head in others]
        return first.select(torch.stack(scores).mean(0), deltas, rois, first.bbox_reg_weights, images.sizes)
