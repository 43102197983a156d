"""Masks: Mask R-CNN (arXiv:1703.06870), section 3: a small FCN per region, one sigmoid mask per class."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lineage.models.backbones.init import msra
from lineage.models.backbones.norm import get_norm
from lineage.models.losses.diagnostics import measure_masks
from lineage.models.roi_heads.pooler import Layer, Pooler
from lineage.models.roi_heads.required_targets import required
from lineage.ops.mask_sampling import through
from lineage.ops.matching import shares
from lineage.structures import Detections, Images, Loss, Losses, SampledProposals, Targets


class ConvStack(nn.Sequential):
    """Figure 4, right: `depth` 3x3 convolutions, normalised by `norm` if given; [R, C, s, s] -> [R, width, s, s]"""

    def __init__(self, channels: int, size: int, *, depth: int, width: int, norm: str | None):
        inputs = [channels] + [width] * (depth - 1)
        convolutions = [nn.Conv2d(count, width, 3, padding=1, bias=norm is None) for count in inputs]
        middle = [[] if norm is None else [get_norm(norm)(width)] for _ in inputs]
        layers = zip(convolutions, middle, strict=True)
        super().__init__(*(layer for convolution, between in layers for layer in (convolution, *between, nn.ReLU())))
        self.channels = width
        msra(*convolutions)


class MaskHead(nn.Module):
    """Body, a 2x2 deconvolution, a 1x1 convolution to one mask per class."""

    def __init__(
        self,
        channels: int,
        *,
        pool: Callable[[Callable[[int], Layer]], Pooler],
        roi: Callable[[int], Layer],
        body: Callable[[int, int], nn.Module],
        width: int,
        num_classes: int,
        class_agnostic: bool,
        target_sampling_ratio: int,
        target_aligned: bool,
        binary_targets: bool,
    ):
        super().__init__()
        self.pool = pool(roi)
        self.body = body(channels, self.pool.size)
        self.deconvolution = nn.ConvTranspose2d(self.body.channels, width, 2, stride=2)
        self.num_classes, self.maps = num_classes, 1 if class_agnostic else num_classes
        self.masks = nn.Conv2d(width, self.maps, 1)
        msra(self.deconvolution, self.masks)
        self.target_sampling_ratio, self.target_aligned = target_sampling_ratio, target_aligned
        self.binary_targets = binary_targets

    def hidden(self, features: list[Tensor], boxes: Tensor) -> Tensor:
        """What the last convolution reads: boxes [B, N, 4] -> [B * N, width, M, M]"""
        return F.relu(self.deconvolution(self.body(self.pool(features, boxes))))

    def _predict(self, features: list[Tensor], boxes: Tensor, labels: Tensor) -> Tensor:
        """The logits of each region's own class: boxes [B, N, 4], labels [B, N] -> [B, N, M, M]"""
        hidden = self.hidden(features, boxes)
        # only the wanted class's filter is applied: C times less memory than all masks followed by a choice
        label = labels.clamp(max=self.maps - 1).flatten()
        weight, bias = self.masks.weight.flatten(1)[label], cast(Tensor, self.masks.bias)[label]
        logits = torch.einsum("rchw,rc->rhw", hidden, weight.to(hidden.dtype)).float() + bias[:, None, None]
        return logits.view(*labels.shape, *logits.shape[-2:])

    def losses(self, features: list[Tensor], rois: SampledProposals, targets: Targets, images: Images) -> Losses:
        logits = self._predict(features, rois.boxes, rois.labels)
        goal = goals(
            targets,
            rois,
            images,
            size=logits.shape[-1],
            sampling_ratio=self.target_sampling_ratio,
            aligned=self.target_aligned,
        )
        return sigmoid_loss(
            logits, (goal >= 0.5).float() if self.binary_targets else goal, rois, targets, self.num_classes
        )

    def detect(self, features: list[Tensor], found: Detections) -> Detections:
        """Fills in masks [B, D, M, M]: probabilities inside each box"""
        return found._replace(masks=self._predict(features, found.boxes, found.labels).sigmoid())


def goals(
    targets: Targets, rois: SampledProposals, images: Images, *, size: int, sampling_ratio: int, aligned: bool
) -> Tensor:
    """The ground truth through each region: [B, N, size, size] in 0..1"""
    masks = required(targets.masks, "masks")
    return through(
        masks, rois.boxes, rois.matched_idx, images.sizes, size=size, sampling_ratio=sampling_ratio, aligned=aligned
    )


def sigmoid_loss(logits: Tensor, goal: Tensor, rois: SampledProposals, targets: Targets, classes: int) -> Losses:
    """Section 3: binary cross entropy of the own class's mask [B, N, M, M], averaged over the pixels of foreground."""
    foreground = (rois.valid & (rois.labels < classes)).float()
    pixels = F.binary_cross_entropy_with_logits(logits, goal, reduction="none").sum((2, 3))
    cost = pixels * foreground * shares(targets, rois.matched_idx, rois.valid)
    diagnostics = measure_masks(logits, goal, foreground.bool())
    return {"roi_mask": Loss(cost.sum(), foreground.sum() * logits.shape[-1] ** 2, diagnostics)}
