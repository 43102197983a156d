"""Masks from fully connected layers: the alternative of Mask R-CNN (arXiv:1703.06870), table 2e."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from lineage.models.backbones.init import gaussian, xavier
from lineage.models.roi_heads.mask_head import goals, sigmoid_loss
from lineage.models.roi_heads.pooler import Layer, Pooler
from lineage.structures import Detections, Images, Losses, SampledProposals, Targets


class MLPMaskHead(nn.Module):
    """Layers of `widths`, then one number for each class and cell of size x size."""

    def __init__(
        self,
        channels: int,
        *,
        pool: Callable[[Callable[[int], Layer]], Pooler],
        roi: Callable[[int], Layer],
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

    def _predict(self, features: list[Tensor], boxes: Tensor, labels: Tensor) -> Tensor:
        """The logits of each region's own class: boxes [B, N, 4], labels [B, N] -> [B, N, M, M]"""
        hidden = self.pool(features, boxes).flatten(1)
        for layer in self.layers:
            hidden = F.relu(layer(hidden))
        logits = self.masks(hidden).float().view(*labels.shape, self.maps, self.size, self.size)
        own = labels.clamp(max=self.maps - 1)[..., None, None, None].expand(-1, -1, 1, self.size, self.size)
        return logits.gather(2, own)[:, :, 0]

    def losses(self, features: list[Tensor], rois: SampledProposals, targets: Targets, images: Images) -> Losses:
        logits = self._predict(features, rois.boxes, rois.labels)
        goal = goals(
            targets,
            rois,
            images,
            size=self.size,
            sampling_ratio=self.target_sampling_ratio,
            aligned=self.target_aligned,
        )
        return sigmoid_loss(
            logits, (goal >= 0.5).float() if self.binary_targets else goal, rois, targets, self.num_classes
        )

    def detect(self, features: list[Tensor], found: Detections) -> Detections:
        """Fills in masks [B, D, M, M]: probabilities inside each box"""
        return found._replace(masks=self._predict(features, found.boxes, found.labels).sigmoid())
