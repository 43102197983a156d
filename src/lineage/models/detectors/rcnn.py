"""The R-CNN family, figure 1 of Mask R-CNN (arXiv:1703.06870): features, proposals, boxes, then more heads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from lineage.ops import boxes as box_ops
from lineage.ops.matching import Matcher, subsample
from lineage.structures import Detections, Images, Losses, Proposals, SampledProposals, Targets, first

SALT = 2  # separates the random stream of this sampler from the RPN's


class ProposalGenerator(Protocol):
    """Where objects might be."""

    def losses(self, images: Images, features: list[Tensor], targets: Targets) -> tuple[Proposals, Losses]: ...

    def propose(self, images: Images, features: list[Tensor]) -> Proposals: ...


class RoIBoxHead(Protocol):
    """What is in a region, and where exactly."""

    num_classes: int

    def losses(
        self, features: list[Tensor], rois: SampledProposals, targets: Targets, images: Images
    ) -> tuple[list[SampledProposals], Losses]:
        """Also the regions that further heads learn from: one set, or one of each stage of a cascade."""
        ...

    def detect(self, features: list[Tensor], rois: Proposals, images: Images) -> Detections: ...


class RoIHead(Protocol):
    """Anything else predicted per object: masks, keypoints."""

    def losses(self, features: list[Tensor], rois: SampledProposals, targets: Targets, images: Images) -> Losses: ...

    def detect(self, features: list[Tensor], found: Detections) -> Detections: ...


class ProposalSampler(nn.Module):
    """The regions of a training step (Fast R-CNN, section 2.3): a quarter foreground, the objects themselves added."""

    def __init__(
        self, *, matcher: Matcher, batch_size_per_image: int, positive_fraction: float, proposal_append_gt: bool
    ):
        super().__init__()
        self.match, self.proposal_append_gt = matcher, proposal_append_gt
        self.batch_size_per_image, self.positive_fraction = batch_size_per_image, positive_fraction
        self.num_foreground = int(
            batch_size_per_image * positive_fraction
        )  # the first slots: those that can hold foreground

    @torch.no_grad()
    def forward(self, rois: Proposals, targets: Targets, images: Images, num_classes: int) -> SampledProposals:
        """[B, N] proposals -> [B, batch_size_per_image] of them with their targets"""
        boxes, valid = rois.boxes, rois.valid
        if self.proposal_append_gt:
            boxes = torch.cat((boxes, targets.boxes), 1)
            valid = torch.cat((valid, targets.valid & ~targets.crowd), 1)
        match = self.match(boxes, targets)
        match = match._replace(foreground=match.foreground & valid, background=match.background & valid)
        chosen = subsample(
            match, count=self.batch_size_per_image, fraction=self.positive_fraction, rng_keys=images.rng_keys, salt=SALT
        )
        gt = match.matched_idx.gather(1, chosen.slots)
        labels = torch.where(chosen.foreground, targets.labels.gather(1, gt), num_classes)
        return SampledProposals(box_ops.take(boxes, chosen.slots), chosen.valid, labels, gt)


class RCNN(nn.Module):
    """A detector. Parts that depend on the width of what feeds them are given unbuilt: channels -> module."""

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
        width = self.neck.channels
        self.proposals, self.sampler, self.box = proposals(width), sampler, box(width)
        self.heads = nn.ModuleDict({name: head(width) for name, head in heads.items()})

    def losses(self, images: Images, targets: Targets) -> Losses:
        """What a training step minimises; each value is a sum and what it is divided by."""
        features = self.neck(self.backbone(images))
        rois, losses = self.proposals.losses(images, features, targets)
        rois = self.sampler(rois, targets, images, self.box.num_classes)
        seen, found = self.box.losses(features, rois, targets, images)
        losses = losses | found
        parts = [first(each, self.sampler.num_foreground) for each in seen]
        foreground = SampledProposals(*(torch.cat(fields, 1) for fields in zip(*parts, strict=True)))
        for head in self.heads.values():
            losses = losses | head.losses(features, foreground, targets, images)
        return losses

    def detect(self, images: Images) -> Detections:
        """The objects of each image, in canvas pixels, best first."""
        features = self.neck(self.backbone(images))
        found = self.box.detect(features, self.proposals.propose(images, features), images)
        for head in self.heads.values():
            found = head.detect(features, found)
        return found
