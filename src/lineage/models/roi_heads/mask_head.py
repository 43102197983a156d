"""Masks: Mask R-CNN (arXiv:1703.06870), section 3: a small FCN per region, one sigmoid mask per class."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lineage.models.backbones.init import msra
from lineage.models.backbones.norm import get_norm
from lineage.models.losses.diagnostics import measure_masks
from lineage.models.losses.mask_losses import sum_entropy
from lineage.models.roi_heads.filled_slots import keep_filled
from lineage.models.roi_heads.pooler import Pooler, RoILayer
from lineage.models.roi_heads.required_targets import MASKS, require
from lineage.ops.layers.class_masks import enlarge_and_filter
from lineage.ops.layers.convolution import convolve
from lineage.ops.mask_sampling import crop_and_resize
from lineage.ops.matching import object_loss_weights
from lineage.structures import Detections, Images, Loss, Losses, SampledProposals, Targets


class ConvStack(nn.Sequential):
    """Figure 4, right: `depth` 3x3 convolutions, with `norm` unless null; [R, C, s, s] -> [R, width, s, s]"""

    def __init__(self, channels: int, size: int, *, depth: int, width: int, norm: str | None):
        inputs = [channels] + [width] * (depth - 1)
        convolutions = [nn.Conv2d(count, width, 3, padding=1, bias=norm is None) for count in inputs]
        middle = [[] if norm is None else [get_norm(norm)(width)] for _ in inputs]
        layers = zip(convolutions, middle, strict=True)
        super().__init__(*(layer for convolution, between in layers for layer in (convolution, *between, nn.ReLU())))
        self.channels, self.is_plain = width, norm is None
        msra(*convolutions)

    def forward(self, x: Tensor) -> Tensor:
        if not self.is_plain:
            return super().forward(x)
        for convolution in [*self][::2]:  # the others are ReLUs
            x = convolve(x, convolution)
        return x


class MaskHead(nn.Module):
    """Body, a 2x2 deconvolution, a 1x1 convolution to one mask per class.

    Ground-truth masks are pooled to the resolution of the head by RoIAlign with at most `target_sampling_ratio` samples
    per bin and axis, `target_aligned` or not, and thresholded at 0.5 if `binary_targets`.
    """

    required_targets: ClassVar = (MASKS,)

    def __init__(
        self,
        channels: int,
        *,
        pool: Callable[[Callable[[int], RoILayer]], Pooler],
        roi: Callable[[int], RoILayer],
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
        """Compute the input of the last convolution: boxes [B, N, 4] -> [B * N, width, M, M]"""
        return F.relu(self.deconvolution(self.body(self.pool(features, boxes))))

    def mask_logits(self, features: list[Tensor], boxes: Tensor, labels: Tensor) -> Tensor:
        """Predict the mask of each region's class: boxes [B, N, 4], labels [B, N] -> logits [B, N, M, M]"""
        # only the filter of the region's class is applied: C times less memory than all masks followed by a selection
        index = labels.clamp(max=self.maps - 1).flatten()
        # the gradient of index_select adds rows in parallel, that of an index sorts them first
        filters = self.masks.weight.flatten(1).index_select(0, index)
        bias = cast(Tensor, self.masks.bias).index_select(0, index)
        logits = enlarge_and_filter(self.body(self.pool(features, boxes)), self.deconvolution, filters)
        logits = logits + bias[:, None, None]
        return logits.view(*labels.shape, *logits.shape[-2:])

    def losses(self, features: list[Tensor], sampled: SampledProposals, targets: Targets, images: Images) -> Losses:
        sampled = keep_filled(sampled, self)
        logits = self.mask_logits(features, sampled.boxes, sampled.labels)
        gt_masks = crop_gt_masks(
            targets,
            sampled,
            images,
            size=logits.shape[-1],
            sampling_ratio=self.target_sampling_ratio,
            aligned=self.target_aligned,
        )
        gt_masks = (gt_masks >= 0.5).float() if self.binary_targets else gt_masks
        return mask_loss(logits, gt_masks, sampled, targets, self.num_classes)

    def detect(self, features: list[Tensor], detections: Detections) -> Detections:
        """Add masks [B, D, M, M] to the detections: probabilities inside each box."""
        return detections._replace(masks=self.mask_logits(features, detections.boxes, detections.labels).sigmoid())


def crop_gt_masks(
    targets: Targets, sampled: SampledProposals, images: Images, *, size: int, sampling_ratio: int, aligned: bool
) -> Tensor:
    """Crop and resize the ground-truth mask of each region: [B, N, size, size] in 0..1"""
    masks, sizes = require(targets.masks, "masks"), images.sizes
    return crop_and_resize(
        masks, sampled.boxes, sampled.matched_idx, sizes, size=size, sampling_ratio=sampling_ratio, aligned=aligned
    )


def mask_loss(
    logits: Tensor, gt_masks: Tensor, sampled: SampledProposals, targets: Targets, num_classes: int
) -> Losses:
    """Return the binary cross entropy of masks [B, N, M, M], averaged over the pixels of foreground (section 3)."""
    foreground = sampled.valid & (sampled.labels < num_classes)
    losses = sum_entropy(logits, gt_masks) * foreground
    if targets.object_weights is not None:  # else all are 1
        losses = losses * object_loss_weights(targets, sampled.matched_idx, sampled.valid)
    pixels = foreground.sum(dtype=torch.float32) * logits.shape[-1] ** 2
    return {"roi_mask": Loss(losses.sum(), pixels, measure_masks(logits, gt_masks, foreground))}
