"""PointRend for instances (arXiv:1912.08193): a coarse mask, and a point head for its uncertain points.

The coarse head and all numbers: section 4.1 and Detectron2's project of the authors. Sizes never depend on
predictions: every region has the same number of points, in training and in each step of subdivision.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lineage.models.backbones.init import gaussian, msra, xavier
from lineage.models.losses.diagnostics import measure_masks
from lineage.models.losses.mask_losses import sum_entropy
from lineage.models.roi_heads.filled_slots import keep_filled
from lineage.models.roi_heads.mask_head import crop_gt_masks
from lineage.models.roi_heads.required_targets import MASKS, require
from lineage.ops import point_sampling as point_ops
from lineage.ops.mask_sampling import sample_points
from lineage.ops.matching import object_loss_weights
from lineage.ops.random import uniform
from lineage.structures import Detections, Images, Loss, Losses, Masks, SampledProposals, Targets

SALT = 32  # separates the random streams of points from all others


class CoarseHead(nn.Module):
    """A region, sampled at input_size^2 points of the finest map -> one mask of output_size^2 per class."""

    def __init__(self, channels: int, maps: int, *, input_size: int, width: int, fc: int, output_size: int):
        super().__init__()
        self.reduce = nn.Conv2d(channels, width, 2, stride=2)
        self.fc = nn.ModuleList((nn.Linear(width * (input_size // 2) ** 2, fc), nn.Linear(fc, fc)))
        self.masks = nn.Linear(fc, maps * output_size**2)
        self.input_size, self.maps, self.output_size = input_size, maps, output_size
        msra(self.reduce)
        xavier(*self.fc)
        gaussian(0.001, self.masks)

    def forward(self, regions: Tensor) -> Tensor:
        """[R, channels, input_size, input_size] -> logits [R, maps, output_size, output_size]"""
        hidden = F.relu(self.reduce(regions)).flatten(1)
        for layer in self.fc:
            hidden = F.relu(layer(hidden))
        return self.masks(hidden).view(-1, self.maps, self.output_size, self.output_size)


class PointHead(nn.Module):
    """`depth` layers shared by all points; the coarse prediction is an input of each (section 3.3)."""

    def __init__(self, channels: int, maps: int, *, width: int, depth: int):
        super().__init__()
        inputs = [channels, *([width] * depth)]
        self.layers = nn.ModuleList(nn.Linear(count + maps, width) for count in inputs[:depth])
        self.masks = nn.Linear(width + maps, maps)
        msra(*self.layers)
        gaussian(0.001, self.masks)

    def forward(self, fine: Tensor, coarse: Tensor, labels: Tensor) -> Tensor:
        """Features [R, P, channels], coarse logits [R, P, maps], labels [R] -> logits of that class [R, P]"""
        hidden = fine
        for layer in self.layers:
            hidden = F.relu(layer(torch.cat((hidden, coarse), -1)))
        # only the row of the region's class is applied, as in the mask head
        weight, bias = self.masks.weight[labels], self.masks.bias[labels]
        hidden = torch.cat((hidden, coarse), -1)
        return torch.einsum("rpc,rc->rp", hidden, weight.to(hidden.dtype)).float() + bias[:, None]


class PointRend(nn.Module):
    """Training samples `train_num_points` points of a region: of `oversample_ratio` times as many random ones the least
    certain for the share `importance_sample_ratio`, the others at random.

    At test time the coarse map is doubled `subdivision_steps` times; each time the point head predicts the
    `subdivision_num_points` least certain cells.
    """

    required_targets: ClassVar = (MASKS,)

    def __init__(
        self,
        channels: int,
        *,
        coarse: Callable[[int, int], CoarseHead],
        point: Callable[[int, int], PointHead],
        stride: int,
        num_classes: int,
        class_agnostic: bool,
        train_num_points: int,
        oversample_ratio: int,
        importance_sample_ratio: float,
        subdivision_steps: int,
        subdivision_num_points: int,
        target_sampling_ratio: int,
        target_aligned: bool,
        binary_targets: bool,
    ):
        super().__init__()
        self.maps = 1 if class_agnostic else num_classes
        self.coarse = coarse(channels, self.maps)
        self.point = point(channels, self.maps)
        self.stride, self.num_classes = stride, num_classes
        self.train_num_points, self.oversample_ratio = train_num_points, oversample_ratio
        self.importance_sample_ratio = importance_sample_ratio
        self.subdivision_steps, self.subdivision_num_points = subdivision_steps, subdivision_num_points
        self.target_sampling_ratio, self.target_aligned = target_sampling_ratio, target_aligned
        self.binary_targets = binary_targets

    def losses(self, features: list[Tensor], sampled: SampledProposals, targets: Targets, images: Images) -> Losses:
        masks = require(targets.masks, "masks")
        sampled = keep_filled(sampled, self)
        # 1. coarse masks
        coarse = self.coarse_logits(features, sampled.boxes)
        labels = sampled.labels.clamp(max=self.maps - 1)
        logits = self.select_class(coarse, labels)  # [B, N, s, s]
        size = logits.shape[-1]
        gt_masks = crop_gt_masks(
            targets,
            sampled,
            images,
            size=size,
            sampling_ratio=self.target_sampling_ratio,
            aligned=self.target_aligned,
        )
        gt_masks = (gt_masks >= 0.5).float() if self.binary_targets else gt_masks
        coarse_losses = sum_entropy(logits, gt_masks)
        # 2. points
        positions = self.sample_training_points(logits.detach(), images.rng_keys)
        point_losses = self._point_losses(features, coarse, labels, positions, sampled, masks)
        # 3. foreground alone counts
        foreground = (sampled.valid & (sampled.labels < self.num_classes)).float()
        count = foreground.sum()
        diagnostics = measure_masks(logits, gt_masks, foreground.bool())
        weights = foreground * object_loss_weights(targets, sampled.matched_idx, sampled.valid)
        return {
            "roi_mask": Loss((coarse_losses * weights).sum(), count * size**2, diagnostics),
            "roi_point": Loss((point_losses * weights).sum(), count * self.train_num_points),
        }

    def _point_losses(
        self,
        features: list[Tensor],
        coarse: Tensor,
        labels: Tensor,
        positions: Tensor,
        sampled: SampledProposals,
        masks: Masks,
    ) -> Tensor:
        """Return the sum of the point losses of each region: [B, N]"""
        points = point_ops.to_canvas(sampled.boxes, positions)
        with torch.no_grad():
            gt = sample_points(masks, points, sampled.matched_idx)
        logits = self.point_logits(features, coarse, labels, positions, points)
        return F.binary_cross_entropy_with_logits(logits, gt, reduction="none").sum(2)

    @torch.no_grad()
    def sample_training_points(self, logits: Tensor, rng_keys: Tensor) -> Tensor:
        """Sample positions as in section 3.2: logits [B, N, s, s] -> positions in 0..1 [B, N, train_num_points, 2]"""
        num_regions = logits.shape[1]
        num_random = self.train_num_points - int(self.importance_sample_ratio * self.train_num_points)
        # 1. over-sample
        oversampled = self.train_num_points * self.oversample_ratio
        random = uniform(rng_keys, SALT, num_regions * oversampled * 2).view(-1, num_regions, oversampled, 2)
        # 2. keep the most uncertain, those with a logit near 0
        values = point_ops.sample(logits.flatten(0, 1)[:, None], random.flatten(0, 1), (1, 1))[..., 0]
        index = (-values.abs()).topk(self.train_num_points - num_random, 1).indices.view(*logits.shape[:2], -1, 1)
        # 3. add points at random
        rest = uniform(rng_keys, SALT + 1, num_regions * num_random * 2).view(-1, num_regions, num_random, 2)
        return torch.cat((random.gather(2, index.expand(-1, -1, -1, 2)), rest), 2)

    def detect(self, features: list[Tensor], detections: Detections) -> Detections:
        """Add masks [B, D, M, M] to the detections: probabilities inside each box."""
        return detections._replace(masks=self.mask_logits(features, detections.boxes, detections.labels).sigmoid())

    def mask_logits(self, features: list[Tensor], boxes: Tensor, labels: Tensor) -> Tensor:
        """Predict the mask of each region's class by subdivision (3.1).

        boxes [B, N, 4], labels [B, N] -> logits [B, N, M, M], M = s * 2^subdivision_steps
        """
        labels = labels.clamp(max=self.maps - 1)
        coarse = self.coarse_logits(features, boxes)
        masks = self.select_class(coarse, labels)
        for step in range(1, self.subdivision_steps + 1):
            masks = F.interpolate(masks, scale_factor=2, mode="bilinear", align_corners=False)
            next_predicts_all = (2 * masks.shape[-1]) ** 2 <= self.subdivision_num_points
            if step == self.subdivision_steps or not next_predicts_all:
                masks = self.refine(features, coarse, masks, labels, boxes)
        return masks

    def refine(self, features: list[Tensor], coarse: Tensor, masks: Tensor, labels: Tensor, boxes: Tensor) -> Tensor:
        """Replace the most uncertain cells of logits [B, D, M, M] by predictions of the point head."""
        size = masks.shape[-1]
        flat = masks.flatten(2)
        cells = (-flat.abs()).topk(min(self.subdivision_num_points, size**2), 2).indices
        positions = point_ops.cell_centres(size, masks.device)[cells]
        logits = self.point_logits(features, coarse, labels, positions, point_ops.to_canvas(boxes, positions))
        return flat.scatter(2, cells, logits.to(flat.dtype)).view_as(masks)

    def coarse_logits(self, features: list[Tensor], boxes: Tensor) -> Tensor:
        """Predict coarse masks in boxes [B, N, 4] -> logits [B * N, maps, s, s]"""
        side = self.coarse.input_size
        points = point_ops.to_canvas(boxes, point_ops.cell_centres(side, boxes.device))
        regions = self._sample_features(features, points).transpose(1, 2)
        return self.coarse(regions.unflatten(2, (side, side))).float()

    def _sample_features(self, features: list[Tensor], points: Tensor) -> Tensor:
        """Sample the finest map at points [B, N, P, 2] -> [B * N, P, channels]"""
        finest = features[0]
        extent = (finest.shape[3] * self.stride, finest.shape[2] * self.stride)
        return point_ops.sample(finest, points.flatten(1, 2), extent).reshape(-1, points.shape[2], finest.shape[1])

    def select_class(self, coarse: Tensor, labels: Tensor) -> Tensor:
        """Return the map of each region's class: [B * N, maps, s, s], labels [B, N] -> [B, N, s, s]"""
        index = labels.flatten()[:, None, None, None].expand(-1, 1, *coarse.shape[2:])
        return coarse.gather(1, index).view(*labels.shape, *coarse.shape[2:])

    def point_logits(
        self, features: list[Tensor], coarse: Tensor, labels: Tensor, positions: Tensor, points: Tensor
    ) -> Tensor:
        """Apply the point head at positions [B, N, P, 2] of each region, canvas points `points` -> [B, N, P]"""
        coarse_values = point_ops.sample(coarse, positions.flatten(0, 1), (1, 1))
        logits = self.point(self._sample_features(features, points), coarse_values, labels.flatten())
        return cast(Tensor, logits.view(positions.shape[:3]))
