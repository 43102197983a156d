"""A mask head per stage: Cascade R-CNN for instance segmentation (arXiv:1906.09756), section 5, figure 9 (c).

The box cascade returns the regions of several stages side by side; at test time all mask heads are applied to the final
boxes and their probabilities are averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lineage.models.roi_heads.mask_head import MaskHead
from lineage.models.roi_heads.required_targets import MASKS
from lineage.structures import Detections, Images, Losses, SampledProposals, Targets


class CascadeMaskHead(nn.Module):
    """`num_stages` mask heads, built from `head` (the arguments of MaskHead): one per entry of `head_stages`."""

    required_targets: ClassVar = (MASKS,)

    def __init__(self, channels: int, *, num_stages: int, stage_loss_weights: Sequence[float], **head: Any):
        super().__init__()
        self.stages = nn.ModuleList(MaskHead(channels, **head) for _ in range(num_stages))
        self.stage_loss_weights = stage_loss_weights[:num_stages]

    def losses(self, features: list[Tensor], sampled: SampledProposals, targets: Targets, images: Images) -> Losses:
        chunks = zip(*(field.chunk(len(self.stages), 1) for field in sampled), strict=True)
        losses: Losses = {}
        for i, (head, chunk, weight) in enumerate(zip(self.stages, chunks, self.stage_loss_weights, strict=True)):
            loss = head.losses(features, SampledProposals(*chunk), targets, images)["roi_mask"]
            losses[f"roi{i + 1}_mask"] = loss._replace(sum=weight * loss.sum)
        return losses

    def detect(self, features: list[Tensor], detections: Detections) -> Detections:
        masks = [head.detect(features, detections).masks for head in self.stages]
        return detections._replace(masks=torch.stack(masks).mean(0))
