"""Online hard example mining: OHEM (arXiv:1604.03540), section 4; on dense anchors: RetinaNet, Table 1d.

Rank regions by their current loss, remove near-duplicates with NMS, and back-propagate the hardest. Foreground needs no
quota, because misclassified objects have a large loss; `neg_pos_ratio` sets one all the same, as SSD does.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lineage.ops import boxes as box_ops
from lineage.ops.nms import nms


class OHEM:
    """Selection of the `batch_size_per_image` regions of largest loss per image.

    `neg_pos_ratio`: upper limit of background regions per foreground region; null: no limit.

    # deviates: NMS is applied to the `topk_candidates` largest losses of an image: a pyramid has 100,000, most near 0
    # deviates: NMS compares all regions of an image, as section 4.2 reads; the released code those of one label
    """

    def __init__(
        self, *, batch_size_per_image: int, nms_thresh: float, neg_pos_ratio: float | None, topk_candidates: int
    ):
        self.batch_size_per_image, self.nms_thresh = batch_size_per_image, nms_thresh
        self.neg_pos_ratio, self.topk_candidates = neg_pos_ratio, topk_candidates

    def check_sampler(self, num_ranked: int) -> None:
        """If the sampler lets through at most as many regions of an image as are selected, raise ValueError."""
        if self.neg_pos_ratio is None and num_ranked <= self.batch_size_per_image:
            raise ValueError(
                f"model.box.mining selects {self.batch_size_per_image} regions of an image, but ranks only the "
                f"{num_ranked} of model.sampler.batch_size_per_image: nothing is mined. To rank all, as "
                "arXiv:1604.03540 does: model.sampler.batch_size_per_image=2048 model.sampler.positive_fraction=1 "
                "model.sampler.matcher.bg_iou_thresh=[0,0.5]"
            )

    @torch.no_grad()
    def __call__(self, losses: Tensor, boxes: Tensor, foreground: Tensor, eligible: Tensor) -> Tensor:
        """losses, foreground and eligible [B, N], boxes [B, N, 4] -> selected [B, N] bool"""
        # 1. the regions of largest loss, sorted
        values, index = torch.where(eligible, losses.detach(), -1.0).topk(min(self.topk_candidates, losses.shape[1]))
        # 2. NMS, the loss as score
        keep = nms(box_ops.take(boxes, index), torch.zeros_like(index), values >= 0, self.nms_thresh)
        # 3. the first survivors
        if self.neg_pos_ratio is None:
            selected = keep & (keep.cumsum(1) <= self.batch_size_per_image)
        else:
            selected = self._select_balanced(keep, foreground.gather(1, index), self.neg_pos_ratio)
        return torch.zeros_like(eligible).scatter(1, index, selected)

    def _select_balanced(self, keep: Tensor, foreground: Tensor, ratio: float) -> Tensor:
        max_positives = int(self.batch_size_per_image / (1 + ratio))
        positives = keep & foreground
        positives = positives & (positives.cumsum(1) <= max_positives)
        negatives = keep & ~foreground
        # an image without objects is treated as if it had one, so that its background is learned
        max_negatives = (positives.sum(1, keepdim=True).clamp(min=1) * ratio).clamp(
            max=self.batch_size_per_image - max_positives
        )
        return positives | (negatives & (negatives.cumsum(1) <= max_negatives))
