"""Class and box of a region: Fast R-CNN (arXiv:1504.08083), sections 2.1 to 2.3.

The two fully connected layers: FPN (arXiv:1612.03144), section 4.2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from lineage.models.backbones.init import gaussian, xavier
from lineage.models.losses.box_losses import (
    Classification,
    Regression,
    SoftmaxCrossEntropy,
    regress_classes,
    select_class,
)
from lineage.models.losses.diagnostics import measure_classification
from lineage.models.losses.ohem import OHEM
from lineage.models.roi_heads.nms_variants import Suppression
from lineage.models.roi_heads.pooler import Pooler, RoILayer
from lineage.models.roi_heads.postprocess import FastRCNNInference
from lineage.ops import boxes as box_ops
from lineage.ops.layers.flat_linear import FlatLinear
from lineage.ops.layers.joined_linear import apply_joined
from lineage.ops.layers.kernels import runs_kernels
from lineage.ops.layers.rectified_linear import linear_relu
from lineage.ops.matching import object_loss_weights
from lineage.structures import Detections, Diagnostic, Images, Loss, Losses, Proposals, SampledProposals, Targets


class TwoFC(nn.Sequential):
    """Two fully connected layers: [R, C, s, s] -> [R, width]

    The layers between them never run: they give the two the names that weights have.
    """

    def __init__(self, channels: int, size: int, *, width: int):
        super().__init__(
            nn.Identity(), FlatLinear(channels * size**2, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
        )
        self.channels = width
        xavier(self[1], self[3])

    def forward(self, regions: Tensor) -> Tensor:
        for layer in (self[1], self[3]):
            regions = linear_relu(regions, layer)
        return regions


class BoxHead(nn.Module):
    """Multi-task head: logits of the classes and background, and deltas of each class.

    class_agnostic: one box for all classes. bbox_reg_weights: scale of the deltas (dx, dy, dw, dh).
    train_on_pred_boxes: the other heads are trained on the boxes predicted by this head (PointRend), as at test time;
    false: on the sampled proposals (Mask R-CNN).
    mining: OHEM, or null for the mean over all sampled proposals.
    The rest: see FastRCNNInference.
    """

    def __init__(
        self,
        channels: int,
        *,
        pool: Callable[[Callable[[int], RoILayer]], Pooler],
        roi: Callable[[int], RoILayer],
        body: Callable[[int, int], nn.Module],
        num_classes: int,
        classification: Callable[[int], Classification],
        regression: Regression,
        class_agnostic: bool,
        bbox_reg_weights: Sequence[float],
        score_thresh: float,
        nms_thresh: float,
        suppression: Suppression,
        detections_per_img: int,
        topk_candidates: int,
        min_size: float,
        train_on_pred_boxes: bool,
        mining: OHEM | None,
    ):
        super().__init__()
        self.pool = pool(roi)
        self.body = body(channels, self.pool.size)
        self.num_classes = num_classes
        self.num_bbox_reg_classes = 1 if class_agnostic else num_classes
        self.classification, self.regression = classification(num_classes), regression
        self.scores = nn.Linear(self.body.channels, self.classification.outputs)
        self.deltas = nn.Linear(self.body.channels, 4 * self.num_bbox_reg_classes)
        gaussian(0.01, self.scores)
        nn.init.constant_(self.scores.bias, self.classification.bias)
        gaussian(0.001, self.deltas)
        self.bbox_reg_weights, self.mining = tuple(bbox_reg_weights), mining
        self.train_on_pred_boxes = train_on_pred_boxes
        self.postprocess = FastRCNNInference(
            score_thresh=score_thresh,
            nms_thresh=nms_thresh,
            suppression=suppression,
            detections_per_img=detections_per_img,
            topk_candidates=topk_candidates,
            min_size=min_size,
        )

    def predict(self, features: list[Tensor], boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Predict for boxes [B, N, 4] -> logits [B, N, outputs], deltas [B, N, num_bbox_reg_classes, 4]"""
        hidden = self.body(self.pool(features, boxes))
        logits, deltas = apply_joined(hidden, self.scores, self.deltas)
        shape = boxes.shape[:2]
        return logits.view(*shape, -1), deltas.view(*shape, self.num_bbox_reg_classes, 4)

    def logits(self, features: list[Tensor], boxes: Tensor) -> Tensor:
        """Predict the classes alone: boxes [B, N, 4] -> [B, N, outputs]"""
        return self.scores(self.body(self.pool(features, boxes))).float().view(*boxes.shape[:2], -1)

    def select_class(self, deltas: Tensor, labels: Tensor) -> Tensor:
        """Return the deltas of each region's class: [B, N, num_bbox_reg_classes, 4], labels [B, N] -> [B, N, 4]"""
        return select_class(deltas, labels)

    def per_roi_losses(
        self, logits: Tensor, deltas: Tensor, sampled: SampledProposals, targets: Targets
    ) -> tuple[Tensor, Tensor]:
        """Return the unreduced losses of class and box: two of [B, N]"""
        cls = self.classification(logits, sampled.labels, sampled.valid)
        box = regress_classes(self.regression, deltas, sampled, targets, self.num_classes, self.bbox_reg_weights)
        if targets.object_weights is None:  # all are 1
            return cls, box
        foreground = sampled.valid & (sampled.labels < self.num_classes)
        weights = object_loss_weights(targets, sampled.matched_idx, foreground)
        return cls * weights, box * weights

    def diagnose(self, logits: Tensor, sampled: SampledProposals) -> tuple[Diagnostic, ...]:
        """Return the accuracies of logits [B, N, outputs] on sampled proposals, and their counts."""
        scores = logits.detach()
        if not self.orders_by_logits(logits):
            scores = self.classification.probabilities(scores)
        return measure_classification(scores, sampled.labels, sampled.valid)

    def orders_by_logits(self, logits: Tensor) -> bool:
        """Return whether kernels find the likeliest class from logits alone: of a softmax on CUDA."""
        return isinstance(self.classification, SoftmaxCrossEntropy) and runs_kernels(logits)

    def losses(
        self, features: list[Tensor], sampled: SampledProposals, targets: Targets, images: Images
    ) -> tuple[list[SampledProposals], Losses]:
        """Return the proposals that the other heads are trained on, and both losses."""
        logits, deltas = self.predict(features, sampled.boxes)
        cls, box = self.per_roi_losses(logits, deltas, sampled, targets)
        # Fast R-CNN, equation 1, divides the box loss by all sampled regions too: an object weighs the same in an image
        # full of foreground and in one with a single object
        selected = sampled.valid
        if self.mining is not None:  # OHEM: no gradient for the other regions
            selected = self.mining(cls + box, sampled.boxes, sampled.labels < self.num_classes, sampled.valid)
            cls, box = cls * selected, box * selected
        normalizer = selected.sum(dtype=torch.float32)
        if self.train_on_pred_boxes:
            pred_deltas = self.select_class(deltas.detach(), sampled.labels)
            boxes = box_ops.decode_inside(pred_deltas, sampled.boxes, self.bbox_reg_weights, images.sizes)
            sampled = sampled._replace(boxes=boxes)
        cls_loss = Loss(cls.sum(), normalizer, self.diagnose(logits, sampled))
        return [sampled], {"roi_cls": cls_loss, "roi_box": Loss(box.sum(), normalizer)}

    def detect(self, features: list[Tensor], proposals: Proposals, images: Images) -> Detections:
        """Return detections [B, D] by falling score."""
        logits, deltas = self.predict(features, proposals.boxes)
        probabilities = self.classification.probabilities(logits)
        return self.postprocess(probabilities, deltas, proposals, self.bbox_reg_weights, images.sizes)
