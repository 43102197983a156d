"""Cascade R-CNN (arXiv:1712.00726): box heads in sequence, each trained on the boxes refined by the one before.

Options also give the paper's baselines: one stage applied three times at test time is the iterative box of section 3.1
(`num_stages=1 test_stages=[1,1,1] ensemble=last`); equal IoUs or equal bbox_reg_weights are the rows of table 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from lineage.models.roi_heads.box_head import BoxHead
from lineage.ops import boxes as box_ops
from lineage.ops.layers.shared_gradient import scale_gradient
from lineage.ops.matching import Match, Matcher, subsample
from lineage.structures import Detections, Images, Loss, Losses, Proposals, SampledProposals, Targets

SALT = 16  # plus the stage: separates the random streams of these samplers from all others
MIN_SIZE = 1e-3  # pixels: clipping may leave an empty box
ENSEMBLES = ("each", "shared", "last")


class CascadeError(ValueError):
    """Options of a cascade that contradict each other."""


class CascadeBoxHead(nn.Module):
    """`num_stages` box heads, built alike from `head` (the arguments of BoxHead) except for their bbox_reg_weights.

    ious, bbox_reg_weights, stage_loss_weights: one per stage; values beyond the number of stages are ignored.
    resample: null keeps all regions of the step in every stage (Detectron2), or {batch_size_per_image,
    positive_fraction, proposal_append_gt}.
    scale_gradient: each stage sends 1 / num_stages of its gradient to the features (Detectron2).
    head_stages: the stages, counted from 1, whose input regions train the other heads.
    test_stages: the stages applied in sequence at test time; null: all.
    ensemble: the scores: mean of "each" stage's on its own input (Detectron2), mean of all stages' on the "shared" last
    input (the paper, section 4.3), or those of the "last" stage.
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
        _separate_bodies(self.stages)
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
        self.gradient_scale = 1 / num_stages if scale_gradient else 1.0
        self.head_stages, self.test_stages, self.ensemble = list(head_stages), test_stages, ensemble

    def losses(
        self, features: list[Tensor], sampled: SampledProposals, targets: Targets, images: Images
    ) -> tuple[list[SampledProposals], Losses]:
        """Return the input regions of `head_stages`, and both losses of every stage."""
        features = scale_gradient(features, self.gradient_scale)
        inputs: list[SampledProposals] = []
        losses: Losses = {}
        boxes = sampled.boxes
        for i, head in enumerate(self.stages):
            # 1. label the regions by this stage's IoU; the first stage has those of the sampler
            inputs.append(sampled if i == 0 else self.sample_stage(i, boxes, inputs[-1].valid, targets, images))
            # 2. losses
            logits, deltas = head.predict(features, inputs[i].boxes)
            per_roi = head.per_roi_losses(logits, deltas, inputs[i], targets)
            normalizer = inputs[i].valid.sum(dtype=torch.float32)
            for name, per_roi_loss in zip(("cls", "box"), per_roi, strict=True):
                losses[f"roi{i + 1}_{name}"] = Loss(self.stage_loss_weights[i] * per_roi_loss.sum(), normalizer)
            cls_loss = losses[f"roi{i + 1}_cls"]
            losses[f"roi{i + 1}_cls"] = cls_loss._replace(diagnostics=head.diagnose(logits, inputs[i]))
            # 3. refine the regions for the next stage
            if i + 1 < len(self.stages):
                boxes = _refine(head, logits, deltas, inputs[i].boxes, images.sizes)
        return [inputs[stage - 1] for stage in self.head_stages], losses

    @torch.no_grad()
    def sample_stage(
        self, stage: int, boxes: Tensor, valid: Tensor, targets: Targets, images: Images
    ) -> SampledProposals:
        """Label refined boxes [B, N, 4] by the IoU of `stage` (from 0), and resample them if `resample` is set."""
        matcher, resample = self.match[stage], self.resample
        if resample is None:
            return matcher.label(boxes, valid, targets, num_classes=self.num_classes, min_size=MIN_SIZE)
        if resample.get("proposal_append_gt"):
            boxes = torch.cat((boxes, targets.boxes), 1)
            valid = torch.cat((valid, targets.valid & ~targets.crowd), 1)
        match = matcher(boxes, targets)
        valid = valid & box_ops.has_min_size(boxes, MIN_SIZE)
        match = Match(match.matched_idx, match.foreground & valid, match.background & valid)
        count, fraction = resample["batch_size_per_image"], resample["positive_fraction"]
        subset = subsample(match, count=count, fraction=fraction, rng_keys=images.rng_keys, salt=SALT + stage)
        matched_idx = match.matched_idx.gather(1, subset.slots)
        labels = torch.where(subset.foreground, targets.labels.gather(1, matched_idx), self.num_classes)
        return SampledProposals(box_ops.take(boxes, subset.slots), subset.valid, labels, matched_idx)

    def refine_by_stage(self, features: list[Tensor], boxes: Tensor, sizes: Tensor) -> list[Tensor]:
        """Return the input regions [B, N, 4] of each test stage; those of the first are `boxes`."""
        by_stage = [boxes]
        for stage in self.test_stages[:-1]:
            head = self.stages[stage - 1]
            logits, deltas = head.predict(features, by_stage[-1])
            by_stage.append(_refine(head, logits, deltas, by_stage[-1], sizes))
        return by_stage

    def detect(self, features: list[Tensor], proposals: Proposals, images: Images) -> Detections:
        """Return detections [B, D] by falling score."""
        *earlier, last = [self.stages[stage - 1] for stage in self.test_stages]
        # 1. refine the proposals stage by stage
        probabilities = []
        for head in earlier:
            logits, deltas = head.predict(features, proposals.boxes)
            probabilities.append(head.classification.probabilities(logits))
            proposals = proposals._replace(boxes=_refine(head, logits, deltas, proposals.boxes, images.sizes))
        logits, deltas = last.predict(features, proposals.boxes)
        # 2. average the scores
        if self.ensemble == "shared":
            probabilities = [
                head.classification.probabilities(head.logits(features, proposals.boxes)) for head in earlier
            ]
        averaged = [
            *(probabilities if self.ensemble != "last" else []),
            last.classification.probabilities(logits),
        ]
        mean = torch.stack(averaged).mean(0)
        # 3. final detections
        return last.postprocess(mean, deltas, proposals, last.bbox_reg_weights, images.sizes)


@torch.no_grad()
def _refine(head: BoxHead, logits: Tensor, deltas: Tensor, boxes: Tensor, sizes: Tensor) -> Tensor:
    """Move boxes [B, N, 4] by the deltas of their likeliest class, and clip them to the image."""
    if head.orders_by_logits(logits) and logits.dtype == deltas.dtype == boxes.dtype == torch.float32:
        from lineage.ops.cuda.refinement import refine  # Triton loads only where there is a GPU

        return refine(logits, deltas, boxes, head.bbox_reg_weights, box_ops.MAX_LOG_RATIO, sizes)
    labels = head.classification.probabilities(logits)[..., :-1].argmax(-1)
    return box_ops.decode_inside(head.select_class(deltas, labels), boxes, head.bbox_reg_weights, sizes)


def _separate_bodies(stages: nn.ModuleList) -> None:
    """Copy bodies that stages share, such as fc6 and fc7 of a VGG backbone or conv5_x of C4."""
    used: set[int] = set()
    for stage in stages:
        if used & {id(parameter) for parameter in stage.body.parameters()}:
            stage.body = deepcopy(stage.body)
        used |= {id(parameter) for parameter in stage.body.parameters()}


def _check(num_stages: int, lists: dict[str, Sequence[Any]], numbers: dict[str, Sequence[int]], ensemble: str) -> None:
    for name, values in lists.items():
        if len(values) < num_stages:
            raise CascadeError(f"model.box.{name} has {len(values)} values for {num_stages} stages; each needs its own")
    for name, stages in numbers.items():
        if not stages or not all(1 <= number <= num_stages for number in stages):
            raise CascadeError(f"model.box.{name}={list(stages)}: stages count from 1 to {num_stages}")
    if ensemble not in ENSEMBLES:
        raise CascadeError(f"model.box.ensemble={ensemble} is not one of {', '.join(ENSEMBLES)}")
