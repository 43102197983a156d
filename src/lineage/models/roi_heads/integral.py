"""The integral loss (MultiPath network, arXiv:1604.02135, section 3.3), a baseline of Cascade R-CNN (arXiv:1712.00726,
section 3.2): classifiers for several IoU thresholds side by side, on the same regions, and one box regressor.
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
    """A box head (its arguments are `head`) for each of `ious`; the first, of the lowest IoU, regresses the boxes.

    The other heads have no regressor. Scores are the mean of all classifiers.
    """

    def __init__(self, channels: int, *, ious: Sequence[float], **head: Any):
        super().__init__()
        self.heads = nn.ModuleList(BoxHead(channels, **head) for _ in ious)
        for other in self.heads[1:]:
            other.deltas = nn.Identity()
        self.ious, self.num_classes = list(ious), self.heads[0].num_classes

    def losses(
        self, features: list[Tensor], sampled: SampledProposals, targets: Targets, images: Images
    ) -> tuple[list[SampledProposals], Losses]:
        """Return the sampled proposals, and the summed classification losses and the box loss."""
        first, others = self.heads[0], list(self.heads)[1:]
        logits, deltas = first.predict(features, sampled.boxes)
        cls, box = first.per_roi_losses(logits, deltas, sampled, targets)
        gt_boxes = box_ops.take(targets.boxes, sampled.matched_idx)
        iou = box_ops.iou(sampled.boxes[:, :, None], gt_boxes[:, :, None])[:, :, 0, 0]
        for head, threshold in zip(others, self.ious[1:], strict=True):
            foreground = (sampled.labels < self.num_classes) & (iou >= threshold)
            labels = torch.where(foreground, sampled.labels, self.num_classes)
            cls = cls + head.classification(head.logits(features, sampled.boxes), labels, sampled.valid)
        normalizer = sampled.valid.sum().float()
        cls_loss = Loss(cls.sum(), normalizer, first.diagnose(logits, sampled))
        return [sampled], {"roi_cls": cls_loss, "roi_box": Loss(box.sum(), normalizer)}

    def detect(self, features: list[Tensor], proposals: Proposals, images: Images) -> Detections:
        """Return detections [B, D] by falling score."""
        first, others = self.heads[0], list(self.heads)[1:]
        logits, deltas = first.predict(features, proposals.boxes)
        probabilities = [first.classification.probabilities(logits)]
        probabilities += [head.classification.probabilities(head.logits(features, proposals.boxes)) for head in others]
        mean = torch.stack(probabilities).mean(0)
        return first.postprocess(mean, deltas, proposals, first.bbox_reg_weights, images.sizes)
