"""A network that proposes and nothing more: the first and third step of Faster R-CNN's alternating training
(arXiv:1506.01497, section 3.2), FPN's table 1 (arXiv:1612.03144), and the measure of any other source of proposals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from lineage.models.backbones.fpn import Last
from lineage.models.detectors.rcnn import ProposalGenerator
from lineage.structures import Detections, Images, Losses, Targets


class Proposer(nn.Module):
    """Backbone, neck and proposals of an RCNN, under the same names: its weights fit into one."""

    def __init__(
        self,
        *,
        backbone: nn.Module,
        neck: Callable[[Sequence[int]], nn.Module],
        proposals: Callable[[int], nn.Module],
    ):
        super().__init__()
        self.backbone, self.neck = backbone, neck(backbone.channels)
        self.proposals: ProposalGenerator = proposals(self.neck.channels)

    def losses(self, images: Images, targets: Targets) -> Losses:
        return self.proposals.losses(images, self.neck(self.backbone(images)), targets)[1]

    def detect(self, images: Images) -> Detections:
        """Proposals as detections of one class, "object", best first."""
        found = self.proposals.propose(images, self.neck(self.backbone(images)))
        score = torch.where(found.valid, _as_probability(found.scores), 0.0)
        nothing = torch.zeros_like(found.valid, dtype=torch.int64)
        slots = torch.arange(found.valid.shape[1], device=score.device).expand_as(nothing)
        return Detections(
            found.boxes, score, nothing, found.valid, slots, probabilities=torch.stack((score, 1 - score), -1)
        )


def proposer(
    *,
    backbone: nn.Module,
    neck: Callable[[Sequence[int]], nn.Module] | None,
    proposals: Callable[[int], nn.Module],
    **without: object,
) -> Proposer:
    """That of a detector, `without` its sampler and heads; on the last map where the detector has no neck."""
    return Proposer(backbone=backbone, neck=neck or Last, proposals=proposals)


def proposer_c4(
    *, backbone: nn.Module, neck: None = None, proposals: Callable[[int], nn.Module], **without: object
) -> Proposer:
    """On C4: the backbone's last stage belongs to the heads, see c4.py."""
    backbone.stages, backbone.channels = backbone.stages[:-1], backbone.channels[:-1]
    return Proposer(backbone=backbone, neck=Last, proposals=proposals)


def _as_probability(scores: Tensor) -> Tensor:
    """Objectness logits, or ranks of given proposals: the sigmoid keeps either's order within [0, 1]."""
    return scores.sigmoid()
