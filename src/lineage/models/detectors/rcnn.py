"""The R-CNN family, figure 1 of Mask R-CNN (arXiv:1703.06870): features, proposals, boxes, then more heads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from lineage.models.losses.ohem import OHEM
from lineage.models.roi_heads.filled_slots import report_filled
from lineage.ops import boxes as box_ops
from lineage.ops.layers.shared_gradient import share_gradient
from lineage.ops.matching import Matcher, subsample
from lineage.ops.slot_limit import skip_reports
from lineage.structures import Detections, Images, Losses, Proposals, SampledProposals, Targets, first

SALT = 2  # separates the random stream of this sampler from the RPN's


class ProposalGenerator(Protocol):
    """Source of class-agnostic proposals, such as the RPN."""

    def losses(self, images: Images, features: list[Tensor], targets: Targets) -> tuple[Proposals, Losses]: ...

    def propose(self, images: Images, features: list[Tensor]) -> Proposals: ...


class RoIBoxHead(Protocol):
    """Class and box of each proposal."""

    num_classes: int

    def losses(
        self, features: list[Tensor], sampled: SampledProposals, targets: Targets, images: Images
    ) -> tuple[list[SampledProposals], Losses]:
        """Return the proposals that further heads are trained on, one set per cascade stage, and the losses."""
        ...

    def detect(self, features: list[Tensor], proposals: Proposals, images: Images) -> Detections: ...


class RoIHead(Protocol):
    """Any further prediction per object: masks, keypoints."""

    def losses(self, features: list[Tensor], sampled: SampledProposals, targets: Targets, images: Images) -> Losses: ...

    def detect(self, features: list[Tensor], detections: Detections) -> Detections: ...


class ProposalSampler(nn.Module):
    """Selects the proposals of a training step and labels them (Fast R-CNN, section 2.3).

    batch_size_per_image, positive_fraction: proposals per image, and the largest fraction of foreground.
    proposal_append_gt: ground-truth boxes are proposals too.
    """

    def __init__(
        self, *, matcher: Matcher, batch_size_per_image: int, positive_fraction: float, proposal_append_gt: bool
    ):
        super().__init__()
        self.match, self.proposal_append_gt = matcher, proposal_append_gt
        self.batch_size_per_image, self.positive_fraction = batch_size_per_image, positive_fraction
        self.num_foreground = int(batch_size_per_image * positive_fraction)  # the first slots may hold foreground

    @torch.no_grad()
    def forward(self, proposals: Proposals, targets: Targets, images: Images, num_classes: int) -> SampledProposals:
        """Sample proposals [B, N] -> [B, batch_size_per_image], foreground first."""
        # 1. add the objects
        boxes, valid = proposals.boxes, proposals.valid
        if self.proposal_append_gt:
            boxes = torch.cat((boxes, targets.boxes), 1)
            valid = torch.cat((valid, targets.valid & ~targets.crowd), 1)
        # 2. match and sample
        match = self.match(boxes, targets)
        match = match._replace(foreground=match.foreground & valid, background=match.background & valid)
        count, fraction = self.batch_size_per_image, self.positive_fraction
        subset = subsample(match, count=count, fraction=fraction, rng_keys=images.rng_keys, salt=SALT)
        # 3. label
        matched_idx = match.matched_idx.gather(1, subset.slots)
        labels = torch.where(subset.foreground, targets.labels.gather(1, matched_idx), num_classes)
        return SampledProposals(box_ops.take(boxes, subset.slots), subset.valid, labels, matched_idx)


class RCNN(nn.Module):
    """A two-stage detector. Parts whose width depends on their input are unbuilt: channels -> module."""

    def __init__(
        self,
        *,
        backbone: nn.Module,
        neck: Callable[[Sequence[int]], nn.Module],
        proposals: Callable[[int], nn.Module],
        sampler: ProposalSampler,
        box: Callable[[int], nn.Module],
        heads: dict[str, Callable[[int], nn.Module]],
    ):
        super().__init__()
        self.backbone, self.neck = backbone, neck(backbone.channels)
        channels = self.neck.channels
        self.proposals = proposals(channels)
        self.sampler = sampler
        self.box = box(channels)
        self.heads = nn.ModuleDict({name: head(channels) for name, head in heads.items()})
        if isinstance(mining := getattr(self.box, "mining", None), OHEM):
            mining.check_sampler(sampler.batch_size_per_image)

    def losses(self, images: Images, targets: Targets) -> Losses:
        """Return the losses of a training step, each a sum and its normalizer."""
        features = share_gradient(self.neck(self.backbone(images)))
        proposals, losses = self.proposals.losses(images, features, targets)
        sampled = self.sampler(proposals, targets, images, self.box.num_classes)
        is_first = getattr(self.box, "head_stages", [1]) == [1]  # heads are trained on these labels
        if self.heads and is_first:
            report_filled(first(sampled, self.sampler.num_foreground), self.box.num_classes)
        sampled_by_stage, box_losses = self.box.losses(features, sampled, targets, images)
        losses = losses | box_losses
        # the other heads are trained on foreground alone: the first slots of every stage, side by side
        stages = [first(stage, self.sampler.num_foreground) for stage in sampled_by_stage]
        foreground = SampledProposals(*(torch.cat(fields, 1) for fields in zip(*stages, strict=True)))
        with skip_reports(is_first and sampled_by_stage[0].labels is sampled.labels):
            for head in self.heads.values():
                losses = losses | head.losses(features, foreground, targets, images)
        return losses

    def detect(self, images: Images) -> Detections:
        """Return the objects of each image, in canvas pixels, best first."""
        features = self.neck(self.backbone(images))
        detections = self.box.detect(features, self.proposals.propose(images, features), images)
        for head in self.heads.values():
            detections = head.detect(features, detections)
        return detections
