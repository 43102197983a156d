"""Dense sliding windows in place of proposals: Fast R-CNN (arXiv:1504.08083), section 5.5, and the one-stage row of
Faster R-CNN (arXiv:1506.01497, table 10). The windows are the RPN's anchors, unranked and unmoved.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lineage.models.proposals.precomputed import Precomputed
from lineage.models.proposals.rpn import Anchors
from lineage.ops import boxes as box_ops
from lineage.ops.random import uniform
from lineage.structures import Images, Losses, Proposals, Targets

GIVEN = ("without", "with", "nearest")
CHUNK = 64  # proposals compared with all windows at once
SALT = 3  # separates the random stream of the windows from those of the samplers


class Sliding(nn.Module):
    """Windows of every size and ratio at every position, in a random order; `count` of them at most.

    The proposals that the images carry do not count (`given=without`), stand before the windows (`with`), or become the
    window that overlaps each most (`nearest`).
    """

    def __init__(self, channels: int, *, anchors: Anchors, count: int, smallest: float, given: str):
        super().__init__()
        if given not in GIVEN:
            raise ValueError(f"Sliding: given={given} is one of {', '.join(GIVEN)}")
        self.anchors, self.count, self.smallest, self.given = anchors, count, smallest, given

    def losses(self, images: Images, features: list[Tensor], targets: Targets) -> tuple[Proposals, Losses]:
        return self.propose(images, features), {}

    @torch.no_grad()
    def propose(self, images: Images, features: list[Tensor]) -> Proposals:
        """[B, N] windows, cut to their images"""
        windows = torch.cat(self.anchors(features[:1]))
        if self.given == "without":
            return self._random(windows, images)
        given = Precomputed(0).propose(images, features)
        if self.given == "nearest":
            nearest = [box_ops.iou(part, windows).argmax(-1) for part in given.boxes.split(CHUNK, 1)]
            return given._replace(boxes=box_ops.clip(windows[torch.cat(nearest, 1)], images.sizes))
        return Proposals(*(torch.cat(pair, 1) for pair in zip(given, self._random(windows, images), strict=True)))

    def _random(self, windows: Tensor, images: Images) -> Proposals:
        """Scores are negative, below those of given proposals."""
        boxes = box_ops.clip(windows.expand(len(images.sizes), -1, -1), images.sizes)
        chance = uniform(images.rng_keys, SALT, boxes.shape[1])
        rank = torch.where(box_ops.large(boxes, self.smallest), chance, -1.0)
        best, index = rank.topk(min(self.count, rank.shape[1]))
        valid = best >= 0
        chosen = torch.where(valid[..., None], box_ops.take(boxes, index), 0.0)
        return Proposals(chosen, torch.where(valid, best - 1, 0.0), valid)
