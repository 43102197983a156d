"""Masks whose classes compete: the alternative of Mask R-CNN (arXiv:1703.06870), table 2b.

A softmax over all classes and background at each pixel, as in an FCN for semantic segmentation, in place of one sigmoid
per class: mask and class are no longer apart.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lineage.models.roi_heads.mask_head import MaskHead, goals
from lineage.ops.matching import shares
from lineage.structures import Detections, Images, Loss, Losses, SampledProposals, Targets


class SoftmaxMaskHead(nn.Module):
    """A mask head, built from its own arguments, with one more map: the last is background. Targets are binary."""

    def __init__(self, channels: int, *, num_classes: int, class_agnostic: bool, **head: Any):
        super().__init__()
        self.num_classes, self.maps = num_classes, 1 if class_agnostic else num_classes
        self.head = MaskHead(channels, num_classes=self.maps + 1, class_agnostic=False, **head)

    def _predict(self, features: list[Tensor], boxes: Tensor) -> Tensor:
        """boxes [B, N, 4] -> logits [B, N, maps + 1, M, M]"""
        logits = self.head.masks(self.head.hidden(features, boxes)).float()
        return logits.view(*boxes.shape[:2], *logits.shape[1:])

    def losses(self, features: list[Tensor], rois: SampledProposals, targets: Targets, images: Images) -> Losses:
        logits = self._predict(features, rois.boxes)
        size = logits.shape[-1]
        goal = goals(
            targets,
            rois,
            images,
            size=size,
            sampling_ratio=self.head.target_sampling_ratio,
            aligned=self.head.target_aligned,
        )
        wanted = torch.where(goal >= 0.5, rois.labels.clamp(max=self.maps - 1)[..., None, None], self.maps)
        pixels = F.cross_entropy(logits.flatten(0, 1), wanted.flatten(0, 1), reduction="none").sum((1, 2))
        foreground = (rois.valid & (rois.labels < self.num_classes)).float()
        cost = pixels.view(foreground.shape) * foreground * shares(targets, rois.matched_idx, rois.valid)
        return {"roi_mask": Loss(cost.sum(), foreground.sum() * size**2)}

    def detect(self, features: list[Tensor], found: Detections) -> Detections:
        """Fills in masks [B, D, M, M]: the share of the detection's class at each pixel of its box"""
        mixed = self._predict(features, found.boxes).softmax(2)
        label = found.labels.clamp(max=self.maps - 1)[..., None, None, None]
        return found._replace(masks=mixed.gather(2, label.expand(-1, -1, 1, *mixed.shape[3:]))[:, :, 0])
