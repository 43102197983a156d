"""Stuff: Panoptic FPN (arXiv:1901.02446), section 3.1, figure 3: a class for each pixel, from all levels of a pyramid.

It is a head like others of an RCNN, only that it looks at images in place of regions.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log2

import torch.nn.functional as F
from torch import Tensor, nn

from lineage.models.backbones.init import msra
from lineage.models.backbones.norm import get_norm
from lineage.models.roi_heads.required_targets import required
from lineage.structures import UNLABELLED, Detections, Images, Loss, Losses, SampledProposals, Targets


class SemanticHead(nn.Module):
    """Each level is convolved and doubled up to the finest, the sum is classified. Class 0 is any thing.

    `loss_weight` balances it with the losses of instances (section 3.2; lambda_s).
    """

    def __init__(
        self, channels: int, *, strides: Sequence[int], width: int, norm: str, num_classes: int, loss_weight: float
    ):
        super().__init__()
        self.levels = nn.ModuleList(_level(channels, width, norm, int(log2(s / strides[0]))) for s in strides)
        self.classes = nn.Conv2d(width, num_classes, 1)
        self.stride, self.loss_weight = strides[0], loss_weight
        msra(self.classes)

    def _predict(self, features: list[Tensor]) -> Tensor:
        """Maps [B, channels, H_i, W_i], fine to coarse -> logits [B, S, H_0, W_0]"""
        levels = zip(self.levels, features, strict=False)  # P6 is left alone
        finest, *others = [level(x) for level, x in levels]
        for other in others:
            finest = finest + other[..., : finest.shape[2], : finest.shape[3]]  # a rounded-up level may stick out
        return self.classes(finest).float()

    def losses(self, features: list[Tensor], rois: SampledProposals, targets: Targets, images: Images) -> Losses:
        labels = required(targets.semantic, "semantic labels").long()
        logits = F.interpolate(self._predict(features), scale_factor=self.stride, mode="bilinear", align_corners=False)
        logits = logits[..., : labels.shape[1], : labels.shape[2]]
        total = F.cross_entropy(logits, labels, ignore_index=UNLABELLED, reduction="sum")
        return {"semantic": Loss(self.loss_weight * total, (labels != UNLABELLED).sum().float())}

    def detect(self, features: list[Tensor], found: Detections) -> Detections:
        """Fills in semantic [B, S, H / 4, W / 4]: logits over the canvas"""
        return found._replace(semantic=self._predict(features))


def _level(channels: int, width: int, norm: str, doublings: int) -> nn.Sequential:
    """Convolution, norm, ReLU and doubling, as often as needed; the finest level is only convolved, once."""
    layers: list[nn.Module] = []
    for index in range(max(doublings, 1)):
        convolution = nn.Conv2d(channels if index == 0 else width, width, 3, padding=1, bias=False)
        msra(convolution)
        layers += [convolution, get_norm(norm)(width), nn.ReLU()]
        if doublings:
            layers.append(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False))
    return nn.Sequential(*layers)
