"""RetinaNet (arXiv:1708.02002): one stage; every position of a pyramid predicts classes and boxes of its anchors.

Section 4: anchors at three octave steps, two subnets shared by all levels, focal loss over every anchor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from lineage.models.backbones.init import gaussian
from lineage.models.backbones.norm import convolve_and_normalize, get_norm
from lineage.models.losses.box_losses import Regression
from lineage.models.losses.class_losses import LossFn, append_background, prior_bias, sum_over_classes
from lineage.models.losses.diagnostics import count_samples
from lineage.models.losses.ohem import OHEM
from lineage.models.proposals.rpn import AnchorGenerator
from lineage.models.roi_heads.nms_variants import Suppression
from lineage.models.roi_heads.postprocess import Candidates, finalize
from lineage.ops import boxes as box_ops
from lineage.ops.layers.level_canvas import PackedLevels, can_pack, convolve_packed, pack, predict_packed
from lineage.ops.matching import Match, Matcher, object_loss_weights
from lineage.structures import Detections, Images, Loss, Losses, Targets


def build_octave_anchors(
    *,
    octave_base_scale: float,
    scales_per_octave: int,
    aspect_ratios: Sequence[float],
    strides: Sequence[int],
    rounded: bool,
) -> AnchorGenerator:
    """Build anchors of `scales_per_octave` sizes from `octave_base_scale` x stride up, at every ratio (Table 1c)."""
    sizes = [
        [octave_base_scale * stride * 2 ** (step / scales_per_octave) for step in range(scales_per_octave)]
        for stride in strides
    ]
    if rounded:  # torchvision cuts sizes to whole pixels before it rounds corners
        sizes = [[float(int(size)) for size in level] for level in sizes]
    return AnchorGenerator(sizes=sizes, aspect_ratios=aspect_ratios, strides=strides, rounded=rounded)


class Subnet(nn.Module):
    """`depth` 3x3 convolutions and a predictor, shared by all levels."""

    def __init__(self, channels: int, outputs: int, *, depth: int, width: int, norm: str | None):
        super().__init__()
        inputs = [channels] + [width] * (depth - 1)
        self.convolutions = nn.ModuleList(nn.Conv2d(count, width, 3, padding=1, bias=norm is None) for count in inputs)
        self.norms = nn.ModuleList(get_norm(norm)(width) if norm else nn.Identity() for _ in inputs)
        self.predictor = nn.Conv2d(width if depth else channels, outputs, 3, padding=1)
        gaussian(0.01, *self.convolutions, self.predictor)

    def forward(self, features: list[Tensor], per_anchor: int) -> list[Tensor]:
        """maps [B, channels, H, W] -> per level [B, A_l, per_anchor] float32, position-major as anchors"""
        return [self._level(x).permute(0, 2, 3, 1).reshape(x.shape[0], -1, per_anchor).float() for x in features]

    def join(self, features: list[Tensor], per_anchor: int) -> Tensor:
        """Return what `forward` does, of all levels one after the other: [B, A, per_anchor] float32"""
        return torch.cat(self(features, per_anchor), 1)

    def join_packed(self, levels: PackedLevels, per_anchor: int, dtype: torch.dtype | None = torch.float32) -> Tensor:
        """Return the same of packed levels, for a subnet without norms: those would see the gaps.

        dtype: of the outputs; None leaves them in the type that autocast computes.
        """
        for convolution in self.convolutions:
            levels = convolve_packed(levels, cast(nn.Conv2d, convolution))
        weight, bias = self.predictor.weight, cast(Tensor, self.predictor.bias)
        outputs = predict_packed(levels, weight, bias, padding=1, dtype=dtype)
        return outputs.reshape(len(levels.finest), -1, per_anchor)

    def has_norms(self) -> bool:
        return not all(isinstance(norm, nn.Identity) for norm in self.norms)

    def _level(self, x: Tensor) -> Tensor:
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = convolve_and_normalize(x, convolution, norm)
        return self.predictor(x)


class DenseHead(nn.Module):
    """Class and box of every anchor. Classes are independent sigmoids without a background class.

    prior_prob: initial probability of every class. mining: OHEM, or null for all anchors.
    loss_normalizer: number of foreground anchors in the "batch" (Detectron), or in each "image" (section 4.1).
    topk_candidates: (anchor, class) pairs of a level that enter NMS. score_thresh: lower limit of a detection's score.
    """

    def __init__(
        self,
        channels: int,
        *,
        anchors: AnchorGenerator,
        matcher: Matcher,
        subnet: Callable[[int, int], Subnet],
        num_classes: int,
        prior_prob: float,
        classification: LossFn,
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
        nn.init.constant_(cast(Tensor, self.scores.predictor.bias), prior_bias(prior_prob))
        self.classification, self.regression, self.mining = classification, regression, mining
        self.by_image = loss_normalizer == "image"
        self.bbox_reg_weights = tuple(bbox_reg_weights)
        self.score_thresh, self.nms_thresh, self.suppression = score_thresh, nms_thresh, suppression
        self.topk_candidates, self.detections_per_img = topk_candidates, detections_per_img

    def losses(self, features: list[Tensor], images: Images, targets: Targets) -> Losses:
        """Return both losses over all anchors, normalized by the number of foreground anchors."""
        anchors = torch.cat(self.anchors(features))[None]
        logits, deltas = self._predict(features, None)  # the loss reads halves and computes in float32
        match = self.match(anchors, targets)
        cls, box = self.per_anchor_losses(logits, deltas, anchors.expand_as(deltas), match, targets)
        counted = match.foreground
        if self.mining is not None:
            with torch.no_grad():
                boxes = box_ops.clip(box_ops.decode(deltas, anchors, self.bbox_reg_weights), images.sizes)
                counted = self.mining(cls + box, boxes, match.foreground, match.foreground | match.background)
            cls, box = cls * counted, box * counted
        counts = counted.sum(1).float()
        diagnostics = count_samples(match.foreground, match.foreground | match.background)
        cls_loss = self._normalize(cls, counts)._replace(diagnostics=diagnostics)
        return {"dense_cls": cls_loss, "dense_box": self._normalize(box, counts)}

    def _predict(self, features: list[Tensor], dtype: torch.dtype | None = torch.float32) -> tuple[Tensor, Tensor]:
        """Return the logits [B, A, num_classes] and deltas [B, A, 4] of all anchors, level after level.

        dtype: of packed logits; None is autocast's. There are 16 million an image.
        """
        if can_pack(features) and not self.scores.has_norms() and not self.deltas.has_norms():
            levels = pack(features)
            return self.scores.join_packed(levels, self.num_classes, dtype), self.deltas.join_packed(levels, 4)
        return self.scores.join(features, self.num_classes), self.deltas.join(features, 4)

    def per_anchor_losses(
        self, logits: Tensor, deltas: Tensor, anchors: Tensor, match: Match, targets: Targets
    ) -> tuple[Tensor, Tensor]:
        """Return the unreduced losses of class and box: two of [B, A]"""
        labels = torch.where(match.foreground, targets.labels.gather(1, match.matched_idx), self.num_classes)
        cls = sum_over_classes(self.classification, logits, labels) * (match.foreground | match.background)
        gt_boxes = box_ops.take(targets.boxes, match.matched_idx)
        box = self.regression(deltas, anchors, gt_boxes, match.foreground, self.bbox_reg_weights)
        weights = object_loss_weights(targets, match.matched_idx, match.foreground)
        return cls * weights, box * weights

    def _normalize(self, losses: Tensor, counts: Tensor) -> Loss:
        """Normalize by image (section 4.1) or over the batch (Detectron), where empty images add no noise."""
        if self.by_image:
            return Loss((losses.sum(1) / counts.clamp(min=1)).sum(), counts.new_tensor(float(len(counts))))
        return Loss(losses.sum(), counts.sum())

    def detect(self, features: list[Tensor], images: Images) -> Detections:
        """Return detections [B, D] by falling score (section 4.1, inference)."""
        # 1. the best (anchor, class) pairs of each level
        anchors = self.anchors(features)
        logits, deltas = self._predict(features)
        sizes = [level.shape[0] for level in anchors]
        starts = [sum(sizes[:index]) for index in range(len(sizes))]
        parts = zip(anchors, logits.split(sizes, 1), deltas.split(sizes, 1), starts, strict=True)
        levels = [self._top_of_level(*part) for part in parts]
        boxes, scores, labels, anchor_index = (torch.cat(fields, 1) for fields in zip(*levels, strict=True))
        # 2. sort them over all levels
        scores, order = scores.sort(dim=1, descending=True, stable=True)
        boxes = box_ops.clip(box_ops.take(boxes, order), images.sizes)
        labels, anchor_index = labels.gather(1, order), anchor_index.gather(1, order)
        # 3. drop low scores and boxes outside the image, of which clipping leaves no area; then NMS per class
        # deviates: detectron2 suppresses boxes before it clips them; Detectron and torchvision clip first, as here
        valid = (scores > self.score_thresh) & (box_ops.area(boxes) > 0)
        return finalize(
            Candidates(boxes, scores, labels, valid, anchor_index),
            lambda index: append_background(box_ops.take(logits, index).sigmoid()),
            suppression=self.suppression,
            nms_thresh=self.nms_thresh,
            detections_per_img=self.detections_per_img,
        )

    def _top_of_level(self, anchors: Tensor, logits: Tensor, deltas: Tensor, start: int) -> tuple[Tensor, ...]:
        """Return boxes, scores, labels and anchor indices of a level's best (anchor, class) pairs."""
        flat = logits.flatten(1)
        values, index = flat.topk(min(self.topk_candidates, flat.shape[1]))
        anchor_index, labels = index // self.num_classes, index % self.num_classes
        boxes = box_ops.decode(box_ops.take(deltas, anchor_index), anchors[anchor_index], self.bbox_reg_weights)
        return boxes, values.sigmoid(), labels, anchor_index + start


def _check(loss_normalizer: str) -> None:
    if loss_normalizer not in ("batch", "image"):
        raise ValueError(f"model.head.loss_normalizer={loss_normalizer} is unknown; choose batch or image")


class RetinaNet(nn.Module):
    """Backbone, pyramid, dense head. Parts whose width depends on their input are unbuilt: channels -> module."""

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
        """Return the losses of a training step, each a sum and its normalizer."""
        return self.head.losses(self.neck(self.backbone(images)), images, targets)

    def detect(self, images: Images) -> Detections:
        """Return the objects of each image, in canvas pixels, best first."""
        return self.head.detect(self.neck(self.backbone(images)), images)
