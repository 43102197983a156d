"""A mask head per stage: Cascade R-CNN for instance segmentation (arXiv:1906.09756), section 5, figure 9 (c).

The box cascade hands over the regions of several stages side by side; at test time all heads see the final boxes and
their probabilities are averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lineage.models.roi_heads.mask_head import MaskHead
from lineage.structures import Detections, Images, Losses, SampledProposals, Targets


class CascadeMaskHead(nn.Module):
    """As many mask heads, built alike from `head` (the arguments of MaskHead), as the box cascade has `head_stages`."""

    def __init__(self, channels: int, *, num_stages: int, stage_loss_weights: Sequence[float], **head: Any):
        super().__init__()
        self.stages = nn.ModuleList(MaskHead(channels, **head) for _ in range(num_stages))
        self.stage_loss_weights = stage_loss_weights[:num_stages]

    def losses(self, features: list[Tensor], rois: SampledProposals, targets: Targets, images: Images) -> Losses:
        parts = zip(*(field.chunk(len(self.stages), 1) for field in rois), strict=True)
        found: Losses = {}
        for i, (head, part, weight) in enumerate(zip(self.stages, parts, self.stage_loss_weights, strict=True)):
            loss = head.losses(features, SampledProposals(*part), targets, images)["roi_mask"]
            found[f"roi{i + 1}_mask"] = loss._replace(sum=weight * loss.sum)
        return found

    def detect(self, features: list[Tensor], found: Detections) -> Detections:
        masks = [head.detect(features, found).masks for head in self.stages]
        return found._replace(masks=torch.stack(masks).mean(0))
