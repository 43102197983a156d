"""PointRend for instances (arXiv:1912.08193): a coarse mask, and a network that decides points where it is unsure.

The coarse head and all numbers: section 4.1 and Detectron2's project of the authors. Sizes never depend on what was
predicted: every region gets as many points, in training and in each step of subdivision.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lineage.models.backbones.init import gaussian, msra, xavier
from lineage.models.losses.diagnostics import measure_masks
from lineage.models.roi_heads.mask_head import goals
from lineage.models.roi_heads.required_targets import required
from lineage.ops import point_sampling as point_ops
from lineage.ops.mask_sampling import at
from lineage.ops.matching import shares
from lineage.ops.random import uniform
from lineage.structures import Detections, Images, Loss, Losses, Masks, SampledProposals, Targets

SALT = 32  # separates the random streams of points from all others


class CoarseHead(nn.Module):
    """A region sampled at input_size^2 points of the finest map -> one mask of output_size^2 per class."""

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
    """Three layers that share weights over points; each sees the coarse prediction again (section 3.3)."""

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
        # only the wanted class's row is applied, as in the mask head
        weight, bias = self.masks.weight[labels], self.masks.bias[labels]
        seen = torch.cat((hidden, coarse), -1)
        return torch.einsum("rpc,rc->rp", seen, weight.to(seen.dtype)).float() + bias[:, None]


class PointRend(nn.Module):
    """Training samples `train_num_points` points of a region: of `oversample_ratio` times as many random ones the least
    certain for the share `importance_sample_ratio`, the others at random.

    At test time the coarse map is doubled `subdivision_steps` times; each time the point head predicts the
    `subdivision_num_points` least certain cells.
    """

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
        self.coarse, self.point = coarse(channels, self.maps), point(channels, self.maps)
        self.stride, self.num_classes = stride, num_classes
        self.train_num_points, self.oversample_ratio = train_num_points, oversample_ratio
        self.importance_sample_ratio = importance_sample_ratio
        self.subdivision_steps, self.subdivision_num_points = subdivision_steps, subdivision_num_points
        self.target_sampling_ratio, self.target_aligned = target_sampling_ratio, target_aligned
        self.binary_targets = binary_targets

    def losses(self, features: list[Tensor], rois: SampledProposals, targets: Targets, images: Images) -> Losses:
        masks = required(targets.masks, "masks")
        coarse = self._coarse(features, rois.boxes)
        labels = rois.labels.clamp(max=self.maps - 1)
        own = self._own(coarse, labels)  # [B, N, s, s]
        foreground = (rois.valid & (rois.labels < self.num_classes)).float()
        size = own.shape[-1]
        goal = goals(
            targets, rois, images, size=size, sampling_ratio=self.target_sampling_ratio, aligned=self.target_aligned
        )
        goal = (goal >= 0.5).float() if self.binary_targets else goal
        diagnostics = measure_masks(own, goal, foreground.bool())
        rough = F.binary_cross_entropy_with_logits(own, goal, reduction="none").sum((2, 3))
        fine = self._points(features, coarse, own, labels, rois, masks, images)
        count, foreground = foreground.sum(), foreground * shares(targets, rois.matched_idx, rois.valid)
        return {
            "roi_mask": Loss((rough * foreground).sum(), count * size**2, diagnostics),
            "roi_point": Loss((fine * foreground).sum(), count * self.train_num_points),
        }

    def _points(
        self, features: list[Tensor], coarse: Tensor, own: Tensor, labels: Tensor, rois: SampledProposals, masks: Masks,
        images: Images,
    ) -> Tensor:  # fmt: skip
        """What the points of each region cost in sum: [B, N]"""
        places = self._choose(own.detach(), images.rng_keys)
        points = point_ops.inside(rois.boxes, places)
        with torch.no_grad():
            goal = at(masks, points, rois.matched_idx)
        logits = self._decide(features, coarse, labels, places, points)
        return F.binary_cross_entropy_with_logits(logits, goal, reduction="none").sum(2)

    @torch.no_grad()
    def _choose(self, own: Tensor, rng_keys: Tensor) -> Tensor:
        """Section 3.2: coarse logits [B, N, s, s] -> places in 0..1 [B, N, train_points, 2]"""
        regions, sure = own.shape[1], self.train_num_points - int(self.importance_sample_ratio * self.train_num_points)
        many = self.train_num_points * self.oversample_ratio
        drawn = uniform(rng_keys, SALT, regions * many * 2).view(-1, regions, many, 2)
        doubt = -point_ops.sample(own.flatten(0, 1)[:, None], drawn.flatten(0, 1), (1, 1))[..., 0].abs()
        picked = doubt.topk(self.train_num_points - sure, 1).indices.view(*own.shape[:2], -1, 1)
        rest = uniform(rng_keys, SALT + 1, regions * sure * 2).view(-1, regions, sure, 2)
        return torch.cat((drawn.gather(2, picked.expand(-1, -1, -1, 2)), rest), 2)

    def detect(self, features: list[Tensor], found: Detections) -> Detections:
        """Section 3.1: fills in masks [B, D, M, M], M the coarse size times 2^steps: probabilities inside each box"""
        labels = found.labels.clamp(max=self.maps - 1)
        coarse = self._coarse(features, found.boxes)
        masks = self._own(coarse, labels)
        for step in range(1, self.subdivision_steps + 1):
            masks = F.interpolate(masks, scale_factor=2, mode="bilinear", align_corners=False)
            if (
                2 * masks.shape[-1]
            ) ** 2 > self.subdivision_num_points or step == self.subdivision_steps:  # else the next decides every cell
                masks = self._refine(features, coarse, masks, labels, found.boxes)
        return found._replace(masks=masks.sigmoid())

    def _refine(self, features: list[Tensor], coarse: Tensor, masks: Tensor, labels: Tensor, boxes: Tensor) -> Tensor:
        """The least sure cells of logits [B, D, M, M] decided by the point head."""
        size = masks.shape[-1]
        flat = masks.flatten(2)
        cells = (-flat.abs()).topk(min(self.subdivision_num_points, size**2), 2).indices
        places = point_ops.centres(size, masks.device)[cells]
        decided = self._decide(features, coarse, labels, places, point_ops.inside(boxes, places))
        return flat.scatter(2, cells, decided).view_as(masks)

    def _coarse(self, features: list[Tensor], boxes: Tensor) -> Tensor:
        """boxes [B, N, 4] -> logits [B * N, maps, s, s]"""
        side = self.coarse.input_size
        points = point_ops.inside(boxes, point_ops.centres(side, boxes.device))
        seen = self._look(features, points).transpose(1, 2)
        return self.coarse(seen.unflatten(2, (side, side))).float()

    def _look(self, features: list[Tensor], points: Tensor) -> Tensor:
        """The finest map at points [B, N, P, 2] -> [B * N, P, channels]"""
        finest = features[0]
        extent = (finest.shape[3] * self.stride, finest.shape[2] * self.stride)
        return point_ops.sample(finest, points.flatten(1, 2), extent).reshape(-1, points.shape[2], finest.shape[1])

    def _own(self, coarse: Tensor, labels: Tensor) -> Tensor:
        """The map of each region's class: [B * N, maps, s, s], labels [B, N] -> [B, N, s, s]"""
        index = labels.flatten()[:, None, None, None].expand(-1, 1, *coarse.shape[2:])
        return coarse.gather(1, index).view(*labels.shape, *coarse.shape[2:])

    def _decide(self, features: list[Tensor], coarse: Tensor, labels: Tensor, places: Tensor, points: Tensor) -> Tensor:
        """The point head at places [B, N, P, 2] of each region, which are these points of the canvas -> [B, N, P]"""
        rough = point_ops.sample(coarse, places.flatten(0, 1), (1, 1))
        logits = self.point(self._look(features, points), rough, labels.flatten())
        return cast(Tensor, logits.view(places.shape[:3]))
