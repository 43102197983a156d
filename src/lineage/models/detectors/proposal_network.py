"""A network that proposes and nothing more: the first and third step of Faster R-CNN's alternating training
(arXiv:1506.01497, section 3.2), FPN's table 1 (arXiv:1612.03144), and the measure of any other source of proposals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn

from lineage.models.backbones.last_map import LastMap
from lineage.models.backbones.last_stage import split_last_stage
from lineage.models.detectors.rcnn import ProposalGenerator
from lineage.structures import Detections, Images, Losses, Targets

Neck = Callable[[Sequence[int]], nn.Module]


class ProposalNetwork(nn.Module):
    """Backbone, neck and proposals of an RCNN, under the same names, so that its weights load into an RCNN."""

    def __init__(self, *, backbone: nn.Module, neck: Neck, proposals: Callable[[int], nn.Module]):
        super().__init__()
        self.backbone, self.neck = backbone, neck(backbone.channels)
        self.proposals: ProposalGenerator = proposals(self.neck.channels)

    def losses(self, images: Images, targets: Targets) -> Losses:
        """Return the losses of the proposals."""
        return self.proposals.losses(images, self.neck(self.backbone(images)), targets)[1]

    def detect(self, images: Images) -> Detections:
        """Return the proposals as detections of one class, "object", best first."""
        proposals = self.proposals.propose(images, self.neck(self.backbone(images)))
        # logits of the RPN or ranks of given proposals: the sigmoid keeps the order of either, within [0, 1]
        scores = torch.where(proposals.valid, proposals.scores.sigmoid(), 0.0)
        labels = torch.zeros_like(proposals.valid, dtype=torch.int64)
        slots = torch.arange(proposals.valid.shape[1], device=scores.device).expand_as(labels)
        probabilities = torch.stack((scores, 1 - scores), -1)
        return Detections(proposals.boxes, scores, labels, proposals.valid, slots, probabilities=probabilities)


def proposal_network(
    *, backbone: nn.Module, neck: Neck | None, proposals: Callable[[int], nn.Module], **unused: object
) -> ProposalNetwork:
    """Build the proposal network of a detector, on the last map if it has no neck. `unused`: its sampler and heads."""
    return ProposalNetwork(backbone=backbone, neck=neck or LastMap, proposals=proposals)


def proposal_network_c4(
    *, backbone: nn.Module, neck: None, proposals: Callable[[int], nn.Module], **unused: object
) -> ProposalNetwork:
    """Build the proposal network on C4: the backbone's last stage belongs to the heads, see c4.py."""
    trunk = split_last_stage(backbone).trunk
    return ProposalNetwork(backbone=trunk, neck=LastMap, proposals=proposals)
