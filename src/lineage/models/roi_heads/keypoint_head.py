"""Keypoints: Mask R-CNN (arXiv:1703.06870), section 5: one map per keypoint, a softmax over all its cells."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lineage.models.backbones.init import msra
from lineage.models.roi_heads.filled_slots import keep_filled
from lineage.models.roi_heads.pooler import Pooler, RoILayer
from lineage.models.roi_heads.required_targets import KEYPOINTS, require
from lineage.ops.boxes import take
from lineage.ops.keypoints import decode, encode
from lineage.ops.matching import object_loss_weights
from lineage.structures import Detections, Images, Loss, Losses, SampledProposals, Targets


class KeypointHead(nn.Module):
    """Body, a 4x4 deconvolution of stride 2 to one map per keypoint, bilinear upscaling: 14 x 14 becomes 56 x 56.

    `loss_normalizer`: "visible" divides the loss by the number of keypoints inside their box, "slots" by that of all
    foreground slots, so that a keypoint weighs the same in images with few. `score`: "logit" or "probability" of the
    peak.
    """

    required_targets: ClassVar = (KEYPOINTS,)

    def __init__(
        self,
        channels: int,
        *,
        pool: Callable[[Callable[[int], RoILayer]], Pooler],
        roi: Callable[[int], RoILayer],
        body: Callable[[int, int], nn.Module],
        num_classes: int,
        num_keypoints: int,
        upscale: int,
        loss_normalizer: str,
        score: str,
        loss_weight: float,
    ):
        super().__init__()
        if loss_normalizer not in ("visible", "slots"):
            raise ValueError(f"model.heads.keypoint.loss_normalizer={loss_normalizer}: choose visible or slots")
        if score not in ("logit", "probability"):
            raise ValueError(f"model.heads.keypoint.score={score}: choose logit or probability")
        self.pool = pool(roi)
        self.body = body(channels, self.pool.size)
        self.deconvolution = nn.ConvTranspose2d(self.body.channels, num_keypoints, 4, stride=2, padding=1)
        msra(self.deconvolution)
        self.num_classes, self.upscale = num_classes, upscale
        self.loss_normalizer, self.score, self.loss_weight = loss_normalizer, score, loss_weight

    def heatmaps(self, features: list[Tensor], boxes: Tensor) -> Tensor:
        """Predict heatmaps in boxes [B, N, 4] -> logits [B, N, K, M, M]"""
        maps = self.deconvolution(self.body(self.pool(features, boxes))).float()
        maps = F.interpolate(maps, scale_factor=self.upscale, mode="bilinear", align_corners=False)
        return maps.view(*boxes.shape[:2], *maps.shape[1:])

    def losses(self, features: list[Tensor], sampled: SampledProposals, targets: Targets, images: Images) -> Losses:
        slots = sampled.labels.numel()  # of all images, empty ones among them
        sampled = keep_filled(sampled, self)
        logits = self.heatmaps(features, sampled.boxes)
        keypoints = take(require(targets.keypoints, "keypoints"), sampled.matched_idx)
        cells, valid = encode(keypoints, sampled.boxes, logits.shape[-1])
        valid = valid & (sampled.valid & (sampled.labels < self.num_classes))[..., None]
        losses = F.cross_entropy(logits.flatten(3).flatten(0, 2), cells.flatten(), reduction="none").view_as(valid)
        weights = object_loss_weights(targets, sampled.matched_idx, sampled.valid)[..., None]
        num_visible = valid.sum()
        num_slots = torch.full_like(num_visible, slots * valid.shape[-1])
        normalizer = num_visible if self.loss_normalizer == "visible" else num_slots
        return {"roi_keypoint": Loss(self.loss_weight * (losses * valid * weights).sum(), normalizer.float())}

    def detect(self, features: list[Tensor], detections: Detections) -> Detections:
        """Add keypoints [B, D, K, 3] (x, y, score) to the detections."""
        return self.locate(self.heatmaps(features, detections.boxes), features, detections)

    def locate(self, maps: Tensor, features: list[Tensor], detections: Detections) -> Detections:
        """Add keypoints at the maxima of heatmaps [B, D, K, M, M]; the canvas is as large as `features` x stride."""
        stride, (height, width) = self.pool.strides[0], features[0].shape[-2:]
        points = decode(maps, detections.boxes, (stride * height, stride * width))
        if self.score == "probability":
            probability = (points[..., 2] - maps.flatten(3).logsumexp(-1)).exp()
            points = torch.cat((points[..., :2], probability[..., None]), -1)
        return detections._replace(keypoints=points)
