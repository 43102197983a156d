"""Dense sliding windows in place of proposals: Fast R-CNN (arXiv:1504.08083), section 5.5, and the one-stage row of
Faster R-CNN (arXiv:1506.01497, table 10). The windows are the RPN's anchors, unranked and unmoved.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lineage.models.rpn import Anchors
from lineage.ops import boxes as box_ops
from lineage.ops.chance import uniform
from lineage.structures import Images, Losses, Regions, Targets

SALT = 3  # separates the random stream of the windows from those of the samplers


class Sliding(nn.Module):
    """Windows of every size and ratio at every position, in a random order; `count` of them at most.

    `among` mixes them with the proposals that the images carry, which then stand first.
    """

    def __init__(self, channels: int, *, anchors: Anchors, count: int, smallest: float, among: bool):
        super().__init__()
        self.anchors, self.count, self.smallest, self.among = anchors, count, smallest, among

    def losses(self, images: Images, features: list[Tensor], targets: Targets) -> tuple[Regions, Losses]:
        return self.propose(images, features), {}

    @torch.no_grad()
    def propose(self, images: Images, features: list[Tensor]) -> Regions:
        """[B, N] windows inside their images; all scores are below those of given proposals"""
        windows = torch.cat(self.anchors(features))
        boxes = box_ops.clip(windows.expand(len(images.sizes), -1, -1), images.sizes)
        chance = uniform(images.keys, SALT, boxes.shape[1])
        rank = torch.where(box_ops.large(boxes, self.smallest), chance, -1.0)
        best, index = rank.topk(min(self.count, rank.shape[1]))
        valid = best >= 0
        dense = Regions(torch.where(valid[..., None], box_ops.take(boxes, index), 0.0), best.clamp(min=0) - 1, valid)
        if not self.among or images.proposals is None:
            return dense
        return Regions(*(torch.cat(pair, 1) for pair in zip(images.proposals, dense, strict=True)))
