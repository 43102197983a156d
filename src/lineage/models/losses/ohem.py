"""Online hard example mining: OHEM (arXiv:1604.03540), section 4; on dense anchors: RetinaNet, Table 1d.

Regions are ranked by what they cost now, near repetitions are dropped, the dearest are learnt from. A wrong answer is
chosen by itself, so no quota of foreground is needed; `neg_pos_ratio` sets one all the same, as SSD does.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lineage.ops import boxes as box_ops
from lineage.ops.nms import nms as suppress


class OHEM:
    """Selection of the `batch_size_per_image` regions of largest loss per image.

    `neg_pos_ratio`: upper limit of background regions per foreground region; null: no limit.

    # deviates: NMS is applied to the `topk_candidates` largest losses of an image: a pyramid has 100,000, most near 0
    """

    def __init__(
        self, *, batch_size_per_image: int, nms_thresh: float, neg_pos_ratio: float | None, topk_candidates: int
    ):
        self.batch_size_per_image, self.nms_thresh = batch_size_per_image, nms_thresh
        self.neg_pos_ratio, self.topk_candidates = neg_pos_ratio, topk_candidates

    @torch.no_grad()
    def __call__(self, cost: Tensor, boxes: Tensor, foreground: Tensor, usable: Tensor) -> Tensor:
        """cost, foreground and usable [B, N], boxes [B, N, 4] -> [B, N] bool: which are learnt from"""
        ranked = torch.where(usable, cost.detach(), -1.0)
        value, index = ranked.topk(min(self.topk_candidates, ranked.shape[1]))
        groups = torch.zeros_like(index)
        keep = suppress(box_ops.take(boxes, index), groups, value >= 0, self.nms_thresh)
        if self.neg_pos_ratio is None:
            chosen = keep & (keep.cumsum(1) <= self.batch_size_per_image)  # they are sorted: the first are the dearest
        else:
            chosen = self._balanced(keep, foreground.gather(1, index), self.neg_pos_ratio)
        return torch.zeros_like(usable).scatter(1, index, chosen)

    def _balanced(self, keep: Tensor, foreground: Tensor, ratio: float) -> Tensor:
        quota = int(self.batch_size_per_image / (1 + ratio))
        found = keep & foreground
        found = found & (found.cumsum(1) <= quota)
        others = keep & ~foreground
        # an image without objects still has background to learn: as if it had one
        most = (found.sum(1, keepdim=True).clamp(min=1) * ratio).clamp(max=self.batch_size_per_image - quota)
        return found | (others & (others.cumsum(1) <= most))
