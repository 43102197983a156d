"""Class and box of a region: Fast R-CNN (arXiv:1504.08083), sections 2.1 to 2.3.

The two fully connected layers: FPN (arXiv:1612.03144), section 4.2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from lineage.models.backbones.init import gaussian, xavier
from lineage.models.losses.box_losses import Classification, Regression
from lineage.models.losses.diagnostics import measure_classification
from lineage.models.losses.ohem import OHEM
from lineage.models.roi_heads.nms_variants import Suppression
from lineage.models.roi_heads.pooler import Layer, Pooler
from lineage.models.roi_heads.postprocess import Selection
from lineage.ops import boxes as box_ops
from lineage.ops.matching import shares
from lineage.structures import Detections, Diagnostic, Images, Loss, Losses, Proposals, SampledProposals, Targets


class TwoFC(nn.Sequential):
    """[R, C, s, s] -> [R, width]"""

    def __init__(self, channels: int, size: int, *, width: int):
        super().__init__(
            nn.Flatten(), nn.Linear(channels * size**2, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
        )
        self.channels = width
        xavier(self[1], self[3])


class BoxHead(nn.Module):
    """Multi-task head: logits of the classes and background, one box code per class.

    `train_on_pred_boxes`: the other heads are trained on the boxes predicted by this head (PointRend), as at test time;
    false: on the sampled proposals (Mask R-CNN).
    """

    def __init__(
        self,
        channels: int,
        *,
        pool: Callable[[Callable[[int], Layer]], Pooler],
        roi: Callable[[int], Layer],
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
        self.select = Selection(
            score_thresh=score_thresh,
            nms_thresh=nms_thresh,
            suppression=suppression,
            detections_per_img=detections_per_img,
            topk_candidates=topk_candidates,
            min_size=min_size,
        )

    def predict(self, features: list[Tensor], boxes: Tensor) -> tuple[Tensor, Tensor]:
        """boxes [B, N, 4] -> logits [B, N, outputs], deltas [B, N, num_bbox_reg_classes, 4]"""
        hidden = self.body(self.pool(features, boxes))
        shape = boxes.shape[:2]
        return self.scores(hidden).float().view(*shape, -1), self.deltas(hidden).float().view(
            *shape, self.num_bbox_reg_classes, 4
        )

    def logits(self, features: list[Tensor], boxes: Tensor) -> Tensor:
        """The classes alone: boxes [B, N, 4] -> [B, N, outputs]"""
        return self.scores(self.body(self.pool(features, boxes))).float().view(*boxes.shape[:2], -1)

    def own(self, deltas: Tensor, labels: Tensor) -> Tensor:
        """The code of each region's class: deltas [B, N, num_bbox_reg_classes, 4], labels [B, N] -> [B, N, 4]"""
        code = labels.clamp(max=self.num_bbox_reg_classes - 1)
        return deltas.gather(2, code[..., None, None].expand(-1, -1, 1, 4))[:, :, 0]

    def costs(self, logits: Tensor, deltas: Tensor, rois: SampledProposals, targets: Targets) -> tuple[Tensor, Tensor]:
        """What the class and the box of each region cost: two of [B, N]"""
        foreground = rois.valid & (rois.labels < self.num_classes)
        cls = self.classification(logits, rois.labels, rois.valid)
        truth = box_ops.take(targets.boxes, rois.matched_idx)
        box = self.regression(self.own(deltas, rois.labels), rois.boxes, truth, foreground, self.bbox_reg_weights)
        share = shares(targets, rois.matched_idx, foreground)
        return cls * share, box * share

    def diagnose(self, logits: Tensor, sampled: SampledProposals) -> tuple[Diagnostic, ...]:
        """Return the accuracies of logits [B, N, outputs] on sampled proposals, and their counts."""
        probabilities = self.classification.probabilities(logits.detach())
        return measure_classification(probabilities, sampled.labels, sampled.valid, self.num_classes)

    def losses(
        self, features: list[Tensor], rois: SampledProposals, targets: Targets, images: Images
    ) -> tuple[list[SampledProposals], Losses]:
        """Both losses, and the regions that the other heads learn from."""
        logits, deltas = self.predict(features, rois.boxes)
        cls, box = self.costs(logits, deltas, rois, targets)
        # Fast R-CNN, equation 1, divides the box term by all sampled regions too: an image full of foreground
        # and one with a single object weigh each object alike
        counted = rois.valid
        if self.mining is not None:  # OHEM's second pass over the chosen regions: others get no gradient
            counted = self.mining(cls + box, rois.boxes, rois.labels < self.num_classes, rois.valid)
            cls, box = cls * counted, box * counted
        sampled = counted.sum().float()
        if self.train_on_pred_boxes:
            moved = box_ops.decode(self.own(deltas.detach(), rois.labels), rois.boxes, self.bbox_reg_weights)
            rois = rois._replace(boxes=box_ops.clip(moved, images.sizes))
        diagnostics = self.diagnose(logits, rois)
        return [rois], {"roi_cls": Loss(cls.sum(), sampled, diagnostics), "roi_box": Loss(box.sum(), sampled)}

    def detect(self, features: list[Tensor], rois: Proposals, images: Images) -> Detections:
        """Per-class NMS over the best (region, class) pairs; -> [B, D] detections by falling score"""
        logits, deltas = self.predict(features, rois.boxes)
        return self.select(self.classification.probabilities(logits), deltas, rois, self.bbox_reg_weights, images.sizes)
