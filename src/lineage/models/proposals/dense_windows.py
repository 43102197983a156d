"""Dense sliding windows instead of proposals: Fast R-CNN (arXiv:1504.08083), section 5.5, and the one-stage row of
Faster R-CNN (arXiv:1506.01497, table 10). The windows are the RPN's anchors, neither ranked nor regressed.
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
    """Windows of every size and aspect ratio at every position, in random order; `num_windows` of them at most.

    Precomputed proposals of the images are ignored (`precomputed=without`), stand before the windows (`with`), or each
    becomes the window with the largest IoU (`nearest`).
    """

    def __init__(self, channels: int, *, anchors: AnchorGenerator, num_windows: int, min_size: float, precomputed: str):
        super().__init__()
        if precomputed not in PRECOMPUTED:
            raise ValueError(f"SlidingWindows: precomputed={precomputed} is not one of {', '.join(PRECOMPUTED)}")
        self.anchors, self.num_windows = anchors, num_windows
        self.min_size, self.precomputed = min_size, precomputed
        self.draws_at_test = precomputed != "nearest"

    def losses(self, images: Images, features: list[Tensor], targets: Targets) -> tuple[Proposals, Losses]:
        return self.propose(images, features), {}

    @torch.no_grad()
    def propose(self, images: Images, features: list[Tensor]) -> Proposals:
        """Return windows [B, N], clipped to their images."""
        windows = torch.cat(self.anchors(features[:1]))
        if self.precomputed == "without":
            return self._sample_windows(windows, images)
        proposals = PrecomputedProposals(0).propose(images, features)
        if self.precomputed == "nearest":
            nearest = [box_ops.iou(chunk, windows).argmax(-1) for chunk in proposals.boxes.split(CHUNK, 1)]
            return proposals._replace(boxes=box_ops.clip(windows[torch.cat(nearest, 1)], images.sizes))
        pairs = zip(proposals, self._sample_windows(windows, images), strict=True)
        return Proposals(*(torch.cat(pair, 1) for pair in pairs))

    def _sample_windows(self, windows: Tensor, images: Images) -> Proposals:
        """Draw windows at random; their scores are negative, below those of precomputed proposals."""
        boxes = box_ops.clip(windows.expand(images.sizes.shape[0], -1, -1), images.sizes)
        random = uniform(images.rng_keys, SALT, boxes.shape[1])
        priority = torch.where(box_ops.has_min_size(boxes, self.min_size), random, -1.0)
        values, index = priority.topk(min(self.num_windows, priority.shape[1]))
        valid = values >= 0
        drawn = torch.where(valid[..., None], box_ops.take(boxes, index), 0.0)
        return Proposals(drawn, torch.where(valid, values - 1, 0.0), valid)
