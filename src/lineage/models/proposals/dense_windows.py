"""Dense sliding windows in place of proposals: Fast R-CNN (arXiv:1504.08083), section 5.5, and the one-stage row of
Faster R-CNN (arXiv:1506.01497, table 10). The windows are the RPN's anchors, unranked and unmoved.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lineage.models.proposals.precomputed import PrecomputedProposals
from lineage.models.proposals.rpn import AnchorGenerator
from lineage.ops import boxes as box_ops
from lineage.ops.random import uniform
from lineage.structures import Images, Losses, Proposals, Targets

PRECOMPUTED = ("without", "with", "nearest")
CHUNK = 64  # proposals compared with all windows at once
SALT = 3  # separates the random stream of the windows from those of the samplers


class SlidingWindows(nn.Module):
    """Windows of every size and ratio at every position, in a random order; `num_windows` of them at most.

    Precomputed proposals of the images are ignored (`precomputed=without`), stand before the windows (`with`), or each
    becomes the window with the largest IoU (`nearest`).
    """

    def __init__(self, channels: int, *, anchors: AnchorGenerator, num_windows: int, min_size: float, precomputed: str):
        super().__init__()
        if precomputed not in PRECOMPUTED:
            raise ValueError(f"SlidingWindows: precomputed={precomputed} is one of {', '.join(PRECOMPUTED)}")
        self.anchors, self.num_windows = anchors, num_windows
        self.min_size, self.precomputed = min_size, precomputed

    def losses(self, images: Images, features: list[Tensor], targets: Targets) -> tuple[Proposals, Losses]:
        return self.propose(images, features), {}

    @torch.no_grad()
    def propose(self, images: Images, features: list[Tensor]) -> Proposals:
        """[B, N] windows, cut to their images"""
        windows = torch.cat(self.anchors(features[:1]))
        if self.precomputed == "without":
            return self._random(windows, images)
        given = PrecomputedProposals(0).propose(images, features)
        if self.precomputed == "nearest":
            nearest = [box_ops.iou(part, windows).argmax(-1) for part in given.boxes.split(CHUNK, 1)]
            return given._replace(boxes=box_ops.clip(windows[torch.cat(nearest, 1)], images.sizes))
        return Proposals(*(torch.cat(pair, 1) for pair in zip(given, self._random(windows, images), strict=True)))

    def _random(self, windows: Tensor, images: Images) -> Proposals:
        """Scores are negative, below those of given proposals."""
        boxes = box_ops.clip(windows.expand(len(images.sizes), -1, -1), images.sizes)
        chance = uniform(images.rng_keys, SALT, boxes.shape[1])
        rank = torch.where(box_ops.large(boxes, self.min_size), chance, -1.0)
        best, index = rank.topk(min(self.num_windows, rank.shape[1]))
        valid = best >= 0
        chosen = torch.where(valid[..., None], box_ops.take(boxes, index), 0.0)
        return Proposals(chosen, torch.where(valid, best - 1, 0.0), valid)
