"""Cascade R-CNN (arXiv:1712.00726): box heads in a row, each trained on what the one before made of the regions.

One class also says the paper's alternatives: one stage applied three times at test time is the iterative box of section
3.1 (`num_stages=1 test_stages=[1,1,1] ensemble=last`), equal IoUs or equal code weights are the rows of table 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from lineage.models.roi_heads.box_head import BoxHead
from lineage.ops import boxes as box_ops
from lineage.ops.matching import Match, Matcher, subsample
from lineage.structures import Detections, Images, Loss, Losses, Proposals, SampledProposals, Targets

SALT = 16  # plus the stage: separates the random streams of these samplers from all others
ENSEMBLES = ("each", "shared", "last")


class CascadeError(ValueError):
    """Numbers that no cascade can have."""


class CascadeBoxHead(nn.Module):
    """`num_stages` box heads, built alike from `head` (the arguments of BoxHead) but for their code weights.

    ious, bbox_reg_weights, stage_loss_weights: one per stage; more may be given than there are stages.
    resample: null keeps all regions of the step in every stage (Detectron2), or {batch_size_per_image,
    positive_fraction, proposal_append_gt}.
    scale_gradient: each stage sends 1 / num_stages of its gradient to the features (Detectron2).
    head_stages: the stages, from 1 on, whose incoming regions the other heads learn from.
    test_stages: the stages applied one after the other at test time; null is all of them.
    ensemble: whose scores count: the mean of "each" stage's on its own regions (Detectron2), the mean of all on the
    "shared" last regions (the paper, section 4.3), or those of the "last" stage alone.
    """

    def __init__(
        self,
        channels: int,
        *,
        num_stages: int,
        ious: Sequence[float],
        bbox_reg_weights: Sequence[Sequence[float]],
        stage_loss_weights: Sequence[float],
        crowd_ignore_iof: float,
        resample: dict[str, Any] | None,
        scale_gradient: bool,
        head_stages: Sequence[int],
        test_stages: Sequence[int] | None,
        ensemble: str,
        **head: Any,
    ):
        super().__init__()
        test_stages = list(test_stages or range(1, num_stages + 1))
        lists = {"ious": ious, "bbox_reg_weights": bbox_reg_weights, "stage_loss_weights": stage_loss_weights}
        _check(num_stages, lists, {"head_stages": head_stages, "test_stages": test_stages}, ensemble)
        self.stages = nn.ModuleList(
            BoxHead(channels, bbox_reg_weights=bbox_reg_weights[i], **head) for i in range(num_stages)
        )
        _own_bodies(self.stages)
        self.num_classes = self.stages[0].num_classes
        self.match = [
            Matcher(
                fg_iou_thresh=iou,
                bg_iou_thresh=(0.0, iou),
                allow_low_quality_matches=False,
                crowd_ignore_iof=crowd_ignore_iof,
            )
            for iou in ious[:num_stages]
        ]
        self.stage_loss_weights, self.resample = stage_loss_weights[:num_stages], resample
        self.gradient = 1 / num_stages if scale_gradient else 1.0
        self.head_stages, self.test_stages, self.ensemble = list(head_stages), test_stages, ensemble

    def losses(
        self, features: list[Tensor], rois: SampledProposals, targets: Targets, images: Images
    ) -> tuple[list[SampledProposals], Losses]:
        shared = [x.detach() + self.gradient * (x - x.detach()) for x in features]  # the values of x, less gradient
        seen, found, boxes = [rois], {}, rois.boxes
        for i, head in enumerate(self.stages):
            if i > 0:
                seen.append(self._regions(i, boxes, seen[-1].valid, targets, images))
            logits, deltas = head.predict(shared, seen[i].boxes)
            costs = head.costs(logits, deltas, seen[i], targets)
            sampled = seen[i].valid.sum().float()
            for what, cost in zip(("cls", "box"), costs, strict=True):
                found[f"roi{i + 1}_{what}"] = Loss(self.stage_loss_weights[i] * cost.sum(), sampled)
            classes = found[f"roi{i + 1}_cls"]
            found[f"roi{i + 1}_cls"] = classes._replace(diagnostics=head.diagnose(logits, seen[i]))
            boxes = _refined(head, logits, deltas, seen[i].boxes, images.sizes)
        return [seen[i - 1] for i in self.head_stages], found

    @torch.no_grad()
    def _regions(self, stage: int, boxes: Tensor, valid: Tensor, targets: Targets, images: Images) -> SampledProposals:
        """What this stage learns from: [B, N] refined regions, labelled by its own IoU."""
        sampling = self.resample or {}
        if sampling.get("proposal_append_gt"):
            boxes = torch.cat((boxes, targets.boxes), 1)
            valid = torch.cat((valid, targets.valid & ~targets.crowd), 1)
        match = self.match[stage](boxes, targets)
        valid = valid & box_ops.large(boxes, 1e-3)  # clipping may leave nothing
        match = Match(match.matched_idx, match.foreground & valid, match.background & valid)
        if self.resample is None:
            labels = torch.where(match.foreground, targets.labels.gather(1, match.matched_idx), self.num_classes)
            return SampledProposals(boxes, match.foreground | match.background, labels, match.matched_idx)
        count, fraction = sampling["batch_size_per_image"], sampling["positive_fraction"]
        chosen = subsample(match, count=count, fraction=fraction, rng_keys=images.rng_keys, salt=SALT + stage)
        gt = match.matched_idx.gather(1, chosen.slots)
        labels = torch.where(chosen.foreground, targets.labels.gather(1, gt), self.num_classes)
        return SampledProposals(box_ops.take(boxes, chosen.slots), chosen.valid, labels, gt)

    def detect(self, features: list[Tensor], rois: Proposals, images: Images) -> Detections:
        *before, last = [self.stages[number - 1] for number in self.test_stages]
        scores = []
        for head in before:
            logits, deltas = head.predict(features, rois.boxes)
            scores.append(head.classification.probabilities(logits))
            rois = rois._replace(boxes=_refined(head, logits, deltas, rois.boxes, images.sizes))
        logits, deltas = last.predict(features, rois.boxes)
        if self.ensemble == "shared":
            scores = [head.classification.probabilities(head.logits(features, rois.boxes)) for head in before]
        counted = [*(scores if self.ensemble != "last" else []), last.classification.probabilities(logits)]
        return last.select(torch.stack(counted).mean(0), deltas, rois, last.bbox_reg_weights, images.sizes)


@torch.no_grad()
def _refined(head: BoxHead, logits: Tensor, deltas: Tensor, boxes: Tensor, sizes: Tensor) -> Tensor:
    """The regions [B, N, 4] moved by the code of their likeliest class, inside the image."""
    label = head.classification.probabilities(logits)[..., :-1].argmax(-1)
    return box_ops.clip(box_ops.decode(head.own(deltas, label), boxes, head.bbox_reg_weights), sizes)


def _own_bodies(stages: nn.ModuleList) -> None:
    """Each stage gets a body of its own, also where one comes from the backbone: fc6 and fc7 of VGG, conv5_x of C4."""
    taken: set[int] = set()
    for stage in stages:
        if taken & {id(parameter) for parameter in stage.body.parameters()}:
            stage.body = deepcopy(stage.body)
        taken |= {id(parameter) for parameter in stage.body.parameters()}


def _check(stages: int, lists: dict[str, Sequence[Any]], numbers: dict[str, Sequence[int]], ensemble: str) -> None:
    for name, values in lists.items():
        if len(values) < stages:
            raise CascadeError(f"model.box.{name} has {len(values)} values for {stages} stages; each needs its own")
    for name, chosen in numbers.items():
        if not chosen or not all(1 <= number <= stages for number in chosen):
            raise CascadeError(f"model.box.{name}={list(chosen)}: stages count from 1 to {stages}")
    if ensemble not in ENSEMBLES:
        raise CascadeError(f"model.box.ensemble={ensemble} is one of {', '.join(ENSEMBLES)}")
