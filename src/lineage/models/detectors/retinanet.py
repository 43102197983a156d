"""RetinaNet (arXiv:1708.02002): one stage. Every position of a pyramid says which classes are there, and where.

Section 4: anchors at three octave steps, two subnets shared by all levels, focal loss over every anchor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lineage.models.backbones.init import gaussian
from lineage.models.backbones.norm import get_norm
from lineage.models.losses.box_losses import Regression
from lineage.models.losses.diagnostics import count_samples
from lineage.models.losses.ohem import OHEM
from lineage.models.proposals.rpn import AnchorGenerator
from lineage.models.roi_heads.nms_variants import Suppression, best
from lineage.ops import boxes as box_ops
from lineage.ops.matching import Match, Matcher, shares
from lineage.structures import Detections, Images, Loss, Losses, Targets

Cost = Callable[[Tensor, Tensor], Tensor]  # logits and goal, both [B, A, C] -> the cost of each


def build_octave_anchors(
    *,
    octave_base_scale: float,
    scales_per_octave: int,
    aspect_ratios: Sequence[float],
    strides: Sequence[int],
    rounded: bool,
) -> AnchorGenerator:
    """`scales_per_octave` sizes from `octave_base_scale` x stride up, at every aspect ratio; Table 1c varies both."""
    sizes = [
        [octave_base_scale * stride * 2 ** (step / scales_per_octave) for step in range(scales_per_octave)]
        for stride in strides
    ]
    if rounded:  # torchvision cuts sizes to whole pixels before it rounds corners
        sizes = [[float(int(size)) for size in level] for level in sizes]
    return AnchorGenerator(sizes=sizes, aspect_ratios=aspect_ratios, strides=strides, rounded=rounded)


class Subnet(nn.Module):
    """`depth` 3x3 convolutions and a predicting one, the same at every level."""

    def __init__(self, channels: int, outputs: int, *, depth: int, width: int, norm: str | None):
        super().__init__()
        inputs = [channels] + [width] * (depth - 1)
        self.convolutions = nn.ModuleList(nn.Conv2d(count, width, 3, padding=1, bias=norm is None) for count in inputs)
        self.norms = nn.ModuleList(get_norm(norm)(width) if norm else nn.Identity() for _ in inputs)
        self.predictor = nn.Conv2d(width if depth else channels, outputs, 3, padding=1)
        gaussian(0.01, *self.convolutions, self.predictor)

    def forward(self, features: list[Tensor], per_anchor: int) -> list[Tensor]:
        """maps [B, channels, H, W] -> per level [B, A_l, per_anchor] float32, position-major like anchors"""
        return [self._level(x).permute(0, 2, 3, 1).reshape(len(x), -1, per_anchor).float() for x in features]

    def _level(self, x: Tensor) -> Tensor:
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = F.relu(norm(convolution(x)))
        return self.predictor(x)


class DenseHead(nn.Module):
    """Class and box of every anchor. Classes are independent sigmoids; there is no background class."""

    def __init__(
        self,
        channels: int,
        *,
        anchors: AnchorGenerator,
        matcher: Matcher,
        subnet: Callable[[int, int], Subnet],
        num_classes: int,
        prior_prob: float,
        classification: Cost,
        regression: Regression,
        mining: OHEM | None,
        loss_normalizer: str,
        bbox_reg_weights: Sequence[float],
        score_thresh: float,
        nms_thresh: float,
        suppression: Suppression,
        topk_candidates: int,
        detections_per_img: int,
    ):
        super().__init__()
        _check(loss_normalizer)
        self.anchors, self.match, self.num_classes = anchors, matcher, num_classes
        self.scores = subnet(channels, anchors.per_position * num_classes)
        self.deltas = subnet(channels, anchors.per_position * 4)
        # section 4.1: initially all probabilities are `prior_prob`, else background dominates the first steps
        nn.init.constant_(cast(Tensor, self.scores.predictor.bias), -math.log((1 - prior_prob) / prior_prob))
        self.classification, self.regression, self.mining = classification, regression, mining
        self.by_image, self.bbox_reg_weights = loss_normalizer == "image", tuple(bbox_reg_weights)
        self.score_thresh, self.nms_thresh, self.suppression = score_thresh, nms_thresh, suppression
        self.topk_candidates, self.detections_per_img = topk_candidates, detections_per_img

    def losses(self, features: list[Tensor], images: Images, targets: Targets) -> Losses:
        """Both losses over all anchors, divided by how many are foreground."""
        anchors = torch.cat(self.anchors(features))[None]
        logits = torch.cat(self.scores(features, self.num_classes), 1)
        deltas = torch.cat(self.deltas(features, 4), 1)
        match = self.match(anchors, targets)
        cls, box = self._costs(logits, deltas, anchors.expand_as(deltas), match, targets)
        counted = match.foreground
        if self.mining is not None:
            with torch.no_grad():
                boxes = box_ops.clip(box_ops.decode(deltas, anchors, self.bbox_reg_weights), images.sizes)
                usable = match.foreground | match.background
                counted = self.mining(cls + box, boxes, match.foreground, usable)
            cls, box = cls * counted, box * counted
        counts = counted.sum(1).float()
        diagnostics = count_samples(match.foreground, match.foreground | match.background)
        classes = self._loss(cls, counts)._replace(diagnostics=diagnostics)
        return {"dense_cls": classes, "dense_box": self._loss(box, counts)}

    def _costs(
        self, logits: Tensor, deltas: Tensor, anchors: Tensor, match: Match, targets: Targets
    ) -> tuple[Tensor, Tensor]:
        """What each anchor costs, by class and by box: two of [B, A]"""
        labels = torch.where(match.foreground, targets.labels.gather(1, match.matched_idx), self.num_classes)
        goal = (labels[..., None] == torch.arange(self.num_classes, device=labels.device)).float()
        cls = self.classification(logits, goal).sum(-1) * (match.foreground | match.background)
        truth = box_ops.take(targets.boxes, match.matched_idx)
        box = self.regression(deltas, anchors, truth, match.foreground, self.bbox_reg_weights)
        share = shares(targets, match.matched_idx, match.foreground)
        return cls * share, box * share

    def _loss(self, cost: Tensor, counts: Tensor) -> Loss:
        """Section 4.1 divides image by image; Detectron over the batch, where empty images add no noise."""
        if self.by_image:
            return Loss((cost.sum(1) / counts.clamp(min=1)).sum(), counts.new_tensor(float(len(counts))))
        return Loss(cost.sum(), counts.sum())

    def detect(self, features: list[Tensor], images: Images) -> Detections:
        """The best scores of each level (section 4.1, inference), then NMS per class over all levels"""
        anchors = self.anchors(features)
        logits, deltas = self.scores(features, self.num_classes), self.deltas(features, 4)
        starts = [sum(len(level) for level in anchors[:index]) for index in range(len(anchors))]
        levels = [self._top(*level) for level in zip(anchors, logits, deltas, starts, strict=True)]
        boxes, scores, labels, anchor = (torch.cat(parts, 1) for parts in zip(*levels, strict=True))
        scores, order = scores.sort(dim=1, descending=True, stable=True)
        boxes = box_ops.clip(box_ops.take(boxes, order), images.sizes)
        labels, anchor = labels.gather(1, order), anchor.gather(1, order)
        boxes, ranked = self.suppression(
            boxes, scores, labels, scores > self.score_thresh, self.nms_thresh, self.detections_per_img
        )
        score, slot = best(ranked, self.detections_per_img)
        valid, region = score >= 0, anchor.gather(1, slot)
        probabilities = box_ops.take(torch.cat(logits, 1), region).sigmoid()
        return Detections(
            boxes=torch.where(valid[..., None], box_ops.take(boxes, slot), 0.0),
            scores=score.clamp(min=0),
            labels=labels.gather(1, slot),
            valid=valid,
            proposal_index=region,
            probabilities=torch.cat((probabilities, 1 - probabilities.amax(-1, keepdim=True)), -1),
        )

    def _top(self, anchors: Tensor, logits: Tensor, deltas: Tensor, start: int) -> tuple[Tensor, ...]:
        """The best (anchor, class) pairs of one level: boxes, scores, labels and anchors counted over all levels"""
        flat = logits.flatten(1)
        value, index = flat.topk(min(self.topk_candidates, flat.shape[1]))
        anchor, label = index // self.num_classes, index % self.num_classes
        boxes = box_ops.decode(box_ops.take(deltas, anchor), anchors[anchor], self.bbox_reg_weights)
        return boxes, value.sigmoid(), label, anchor + start


def _check(loss_normalizer: str) -> None:
    if loss_normalizer not in ("batch", "image"):
        raise ValueError(f"model.head.loss_normalizer={loss_normalizer} is unknown; choose batch or image")


class RetinaNet(nn.Module):
    """Body, pyramid, dense head. Parts that depend on the width of what feeds them are given unbuilt."""

    def __init__(
        self,
        *,
        backbone: nn.Module,
        neck: Callable[[Sequence[int]], nn.Module],
        head: Callable[[int], DenseHead],
    ):
        super().__init__()
        self.backbone, self.neck = backbone, neck(backbone.channels)
        self.head = head(self.neck.channels)

    def losses(self, images: Images, targets: Targets) -> Losses:
        """What a training step minimises; each value is a sum and what it is divided by."""
        return self.head.losses(self.neck(self.backbone(images)), images, targets)

    def detect(self, images: Images) -> Detections:
        """The objects of each image, in canvas pixels, best first."""
        return self.head.detect(self.neck(self.backbone(images)), images)
