"""Class and box of a region: Fast R-CNN (arXiv:1504.08083), sections 2.1 to 2.3.

The two fully connected layers: FPN (arXiv:1612.03144), section 4.2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lineage.models.initialise import gaussian, xavier
from lineage.models.roi import Layer, Pooler
from lineage.ops import boxes as box_ops
from lineage.ops.nms import nms
from lineage.structures import Detections, Images, Loss, Losses, Matched, Regions, Targets


class TwoFC(nn.Sequential):
    """[R, C, s, s] -> [R, width]"""

    def __init__(self, channels: int, size: int, *, width: int):
        super().__init__(
            nn.Flatten(), nn.Linear(channels * size**2, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
        )
        self.channels = width
        xavier(self[1], self[3])


class BoxHead(nn.Module):
    """Multi-task head: softmax over classes and background, one box code per class."""

    def __init__(
        self,
        channels: int,
        *,
        pool: Callable[[Callable[[int], Layer]], Pooler],
        roi: Callable[[int], Layer],
        body: Callable[[int, int], nn.Module],
        classes: int,
        agnostic: bool,
        weights: Sequence[float],
        beta: float,
        score: float,
        nms: float,
        detections: int,
        candidates: int,
        smallest: float,
    ):
        super().__init__()
        self.pool = pool(roi)
        self.body = body(channels, self.pool.size)
        self.classes = classes
        self.codes = 1 if agnostic else classes  # class-agnostic: one code for all
        self.scores = nn.Linear(self.body.channels, classes + 1)
        self.deltas = nn.Linear(self.body.channels, 4 * self.codes)
        gaussian(0.01, self.scores)
        gaussian(0.001, self.deltas)
        self.weights, self.beta = tuple(weights), beta
        self.score, self.nms, self.detections, self.smallest = score, nms, detections, smallest
        self.candidates = candidates

    def _predict(self, features: list[Tensor], boxes: Tensor) -> tuple[Tensor, Tensor]:
        """boxes [B, N, 4] -> logits [B, N, C + 1], deltas [B, N, codes, 4]"""
        hidden = self.body(self.pool(features, boxes))
        shape = boxes.shape[:2]
        return self.scores(hidden).float().view(*shape, -1), self.deltas(hidden).float().view(*shape, self.codes, 4)

    def losses(self, features: list[Tensor], rois: Matched, targets: Targets) -> Losses:
        logits, deltas = self._predict(features, rois.boxes)
        sampled = rois.valid.sum().float()
        cls = F.cross_entropy(logits.flatten(0, 1), rois.labels.flatten(), reduction="none")
        # Fast R-CNN, equation 1, divides the box term by all sampled regions too: an image full of foreground
        # and one with a single object weigh each object alike
        foreground = (rois.valid & (rois.labels < self.classes)).float()
        code = rois.labels.clamp(max=self.codes - 1)
        given = deltas.gather(2, code[..., None, None].expand(-1, -1, 1, 4))[:, :, 0]
        wanted = box_ops.encode(box_ops.take(targets.boxes, rois.gt), rois.boxes, self.weights)
        wanted = torch.where(foreground[..., None] > 0, wanted, 0.0)
        move = F.smooth_l1_loss(given, wanted, beta=self.beta, reduction="none").sum(-1)
        return {
            "roi_cls": Loss((cls * rois.valid.flatten()).sum(), sampled),
            "roi_box": Loss((move * foreground).sum(), sampled),
        }

    def detect(self, features: list[Tensor], rois: Regions, images: Images) -> Detections:
        """Per-class NMS over the best (region, class) pairs; -> [B, D] detections by falling score"""
        logits, deltas = self._predict(features, rois.boxes)
        probabilities = logits.softmax(-1)
        scores = torch.where(rois.valid[..., None], probabilities[..., :-1], -1.0).flatten(1)
        # pairs are cut to a fixed number before NMS; 5 % thresholds leave far fewer, so nothing is lost
        best, index = scores.topk(min(self.candidates, scores.shape[1]))
        region, label = index // self.classes, index % self.classes
        code = region * self.codes + (label if self.codes > 1 else 0)
        boxes = box_ops.decode(box_ops.take(deltas.flatten(1, 2), code), box_ops.take(rois.boxes, region), self.weights)
        boxes = box_ops.clip(boxes, images.sizes)
        usable = (best > self.score) & box_ops.large(boxes, self.smallest)
        kept = torch.where(nms(boxes, label, usable, self.nms), best, -1.0)
        score, order = kept.topk(min(self.detections, kept.shape[1]))
        valid, region = score >= 0, region.gather(1, order)
        return Detections(
            boxes=torch.where(valid[..., None], box_ops.take(boxes, order), 0.0),
            scores=score.clamp(min=0),
            labels=label.gather(1, order),
            valid=valid,
            region=region,
            probabilities=box_ops.take(probabilities, region),
        )
