"""Masks from fully connected layers: the alternative of Mask R-CNN (arXiv:1703.06870), table 2e."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from lineage.models.backbones.init import gaussian, xavier
from lineage.models.roi_heads.filled_slots import keep_filled
from lineage.models.roi_heads.mask_head import crop_gt_masks, mask_loss
from lineage.models.roi_heads.pooler import Pooler, RoILayer
from lineage.models.roi_heads.required_targets import MASKS
from lineage.structures import Detections, Images, Losses, SampledProposals, Targets


class MLPMaskHead(nn.Module):
    """Layers of `widths`, then one logit for each class and cell of size x size."""

    required_targets: ClassVar = (MASKS,)

    def __init__(
        self,
        channels: int,
        *,
        pool: Callable[[Callable[[int], RoILayer]], Pooler],
        roi: Callable[[int], RoILayer],
        widths: Sequence[int],
        size: int,
        num_classes: int,
        class_agnostic: bool,
        target_sampling_ratio: int,
        target_aligned: bool,
        binary_targets: bool,
    ):
        super().__init__()
        self.pool = pool(roi)
        self.num_classes, self.maps = num_classes, 1 if class_agnostic else num_classes
        inputs = [channels * self.pool.size**2, *widths]
        self.layers = nn.ModuleList(nn.Linear(before, after) for before, after in pairwise(inputs))
        self.masks = nn.Linear(inputs[-1], self.maps * size**2)
        xavier(*self.layers)
        gaussian(0.001, self.masks)
        self.size, self.binary_targets = size, binary_targets
        self.target_sampling_ratio, self.target_aligned = target_sampling_ratio, target_aligned

    def mask_logits(self, features: list[Tensor], boxes: Tensor, labels: Tensor) -> Tensor:
        """Predict the mask of each region's class: boxes [B, N, 4], labels [B, N] -> logits [B, N, M, M]"""
        hidden = self.pool(features, boxes).flatten(1)
        for layer in self.layers:
            hidden = F.relu(layer(hidden))
        logits = self.masks(hidden).float().view(*labels.shape, self.maps, self.size, self.size)
        index = labels.clamp(max=self.maps - 1)[..., None, None, None].expand(-1, -1, 1, self.size, self.size)
        return logits.gather(2, index)[:, :, 0]

    def losses(self, features: list[Tensor], sampled: SampledProposals, targets: Targets, images: Images) -> Losses:
        sampled = keep_filled(sampled, self)
        logits = self.mask_logits(features, sampled.boxes, sampled.labels)
        gt_masks = crop_gt_masks(
            targets,
            sampled,
            images,
            size=self.size,
            sampling_ratio=self.target_sampling_ratio,
            aligned=self.target_aligned,
        )
        gt_masks = (gt_masks >= 0.5).float() if self.binary_targets else gt_masks
        return mask_loss(logits, gt_masks, sampled, targets, self.num_classes)

    def detect(self, features: list[Tensor], detections: Detections) -> Detections:
        """Add masks [B, D, M, M] to the detections: probabilities inside each box."""
        return detections._replace(masks=self.mask_logits(features, detections.boxes, detections.labels).sigmoid())
