"""Masks whose classes compete: the alternative of Mask R-CNN (arXiv:1703.06870), table 2b.

A softmax over all classes and background at each pixel, as in an FCN for semantic segmentation, instead of one sigmoid
per class: mask and class are not decoupled.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lineage.models.roi_heads.filled_slots import keep_filled
from lineage.models.roi_heads.mask_head import MaskHead, crop_gt_masks
from lineage.models.roi_heads.required_targets import MASKS
from lineage.ops.matching import object_loss_weights
from lineage.structures import Detections, Images, Loss, Losses, SampledProposals, Targets


class SoftmaxMaskHead(nn.Module):
    """A mask head, built from its own arguments, with one more map: the last is background. Targets are binary."""

    required_targets: ClassVar = (MASKS,)

    def __init__(self, channels: int, *, num_classes: int, class_agnostic: bool, **head: Any):
        super().__init__()
        self.num_classes, self.maps = num_classes, 1 if class_agnostic else num_classes
        self.head = MaskHead(channels, num_classes=self.maps + 1, class_agnostic=False, **head)

    def mask_logits(self, features: list[Tensor], boxes: Tensor) -> Tensor:
        """Predict all maps: boxes [B, N, 4] -> logits [B, N, maps + 1, M, M]"""
        logits = self.head.masks(self.head.hidden(features, boxes)).float()
        return logits.view(*boxes.shape[:2], *logits.shape[1:])

    def losses(self, features: list[Tensor], sampled: SampledProposals, targets: Targets, images: Images) -> Losses:
        sampled = keep_filled(sampled, self)
        logits = self.mask_logits(features, sampled.boxes)
        gt_masks = crop_gt_masks(
            targets,
            sampled,
            images,
            size=logits.shape[-1],
            sampling_ratio=self.head.target_sampling_ratio,
            aligned=self.head.target_aligned,
        )
        gt_maps = torch.where(gt_masks >= 0.5, sampled.labels.clamp(max=self.maps - 1)[..., None, None], self.maps)
        losses = F.cross_entropy(logits.flatten(0, 1), gt_maps.flatten(0, 1), reduction="none").sum((1, 2))
        foreground = (sampled.valid & (sampled.labels < self.num_classes)).float()
        weights = object_loss_weights(targets, sampled.matched_idx, sampled.valid)
        losses = losses.view(foreground.shape) * foreground * weights
        return {"roi_mask": Loss(losses.sum(), foreground.sum() * logits.shape[-1] ** 2)}

    def detect(self, features: list[Tensor], detections: Detections) -> Detections:
        """Add masks [B, D, M, M] to the detections: probability of the detection's class at each pixel of its box."""
        probabilities = self.mask_logits(features, detections.boxes).softmax(2)
        index = detections.labels.clamp(max=self.maps - 1)[..., None, None, None]
        masks = probabilities.gather(2, index.expand(-1, -1, 1, *probabilities.shape[3:]))[:, :, 0]
        return detections._replace(masks=masks)
