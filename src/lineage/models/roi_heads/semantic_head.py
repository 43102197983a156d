"""Semantic segmentation: Panoptic FPN (arXiv:1901.02446), section 3.1, figure 3: a class for each pixel.

It has the interface of the other heads of an RCNN, but reads whole images instead of regions.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log2
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from lineage.models.backbones.init import msra
from lineage.models.backbones.norm import get_norm
from lineage.models.roi_heads.required_targets import SEMANTIC, require
from lineage.structures import UNLABELLED, Detections, Images, Loss, Losses, SampledProposals, Targets


class SemanticHead(nn.Module):
    """Upsamples each level to the finest, classifies the sum. Class 0 is all things together.

    `loss_weight` balances the loss with those of instances (section 3.2; lambda_s).
    """

    required_targets: ClassVar = (SEMANTIC,)

    def __init__(
        self, channels: int, *, strides: Sequence[int], width: int, norm: str, num_classes: int, loss_weight: float
    ):
        super().__init__()
        self.levels = nn.ModuleList(_level(channels, width, norm, int(log2(s / strides[0]))) for s in strides)
        self.classes = nn.Conv2d(width, num_classes, 1)
        self.strides, self.stride, self.loss_weight = tuple(strides), strides[0], loss_weight
        msra(self.classes)

    def logits(self, features: list[Tensor]) -> Tensor:
        """Predict from maps [B, channels, H_i, W_i], fine to coarse -> logits [B, S, H_0, W_0]"""
        levels = zip(self.levels, features, strict=False)  # P6 is not used
        finest, *others = [level(x) for level, x in levels]
        for other in others:
            finest = finest + other[..., : finest.shape[2], : finest.shape[3]]  # a rounded-up level may stick out
        return self.classes(finest).float()

    def losses(self, features: list[Tensor], sampled: SampledProposals, targets: Targets, images: Images) -> Losses:
        labels = require(targets.semantic, "semantic labels").long()
        logits = F.interpolate(self.logits(features), scale_factor=self.stride, mode="bilinear", align_corners=False)
        logits = logits[..., : labels.shape[1], : labels.shape[2]]
        loss = F.cross_entropy(logits, labels, ignore_index=UNLABELLED, reduction="sum")
        return {"semantic": Loss(self.loss_weight * loss, (labels != UNLABELLED).sum().float())}

    def detect(self, features: list[Tensor], detections: Detections) -> Detections:
        """Add semantic [B, S, H / 4, W / 4] to the detections: logits over the canvas."""
        return detections._replace(semantic=self.logits(features))


def _level(channels: int, width: int, norm: str, doublings: int) -> nn.Sequential:
    """Build a level: `doublings` times convolution, norm, ReLU and 2x upsampling; the finest has no upsampling."""
    layers: list[nn.Module] = []
    for index in range(max(doublings, 1)):
        convolution = nn.Conv2d(channels if index == 0 else width, width, 3, padding=1, bias=False)
        msra(convolution)
        layers += [convolution, get_norm(norm)(width), nn.ReLU()]
        if doublings:
            layers.append(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False))
    return nn.Sequential(*layers)
