"""Online hard example mining: OHEM (arXiv:1604.03540), section 4; on dense anchors: RetinaNet, Table 1d.

Regions are ranked by what they cost now, near repetitions are dropped, the dearest are learnt from. A wrong answer is
chosen by itself, so no quota of foreground is needed; `ratio` sets one all the same, as SSD does.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lineage.ops import boxes as box_ops
from lineage.ops.nms import nms as suppress


class Mining:
    """`samples` per image. `ratio`: at most so many background regions for each foreground one; null: no matter.

    # deviates: NMS sees the `candidates` dearest regions of an image, for a pyramid has 100,000 and most cost nothing
    """

    def __init__(self, *, samples: int, nms: float, ratio: float | None, candidates: int):
        self.samples, self.nms, self.ratio, self.candidates = samples, nms, ratio, candidates

    @torch.no_grad()
    def __call__(self, cost: Tensor, boxes: Tensor, foreground: Tensor, usable: Tensor) -> Tensor:
        """cost, foreground and usable [B, N], boxes [B, N, 4] -> [B, N] bool: which are learnt from"""
        ranked = torch.where(usable, cost.detach(), -1.0)
        value, index = ranked.topk(min(self.candidates, ranked.shape[1]))
        groups = torch.zeros_like(index)
        keep = suppress(box_ops.take(boxes, index), groups, value >= 0, self.nms)
        if self.ratio is None:
            chosen = keep & (keep.cumsum(1) <= self.samples)  # they are sorted: the first are the dearest
        else:
            chosen = self._balanced(keep, foreground.gather(1, index), self.ratio)
        return torch.zeros_like(usable).scatter(1, index, chosen)

    def _balanced(self, keep: Tensor, foreground: Tensor, ratio: float) -> Tensor:
        quota = int(self.samples / (1 + ratio))
        found = keep & foreground
        found = found & (found.cumsum(1) <= quota)
        others = keep & ~foreground
        # an image without objects still has background to learn: as if it had one
        most = (found.sum(1, keepdim=True).clamp(min=1) * ratio).clamp(max=self.samples - quota)
        return found | (others & (others.cumsum(1) <= most))
