"""Matching of anchors or proposals with objects, and sampling of those that enter a loss.

Matching: Faster R-CNN (arXiv:1506.01497), section 3.1.2. Sampling: Fast R-CNN (arXiv:1504.08083), section 2.3.
All shapes are fixed, so nothing waits for the device.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lineage.ops import boxes as box_ops
from lineage.ops.layers.kernels import runs_kernels, runs_triton
from lineage.ops.random import uniform
from lineage.structures import SampledProposals, Targets

CHUNK = 8  # ground-truth slots compared at once: memory stays at B x 8 x N for any number of objects


class Match(NamedTuple):
    matched_idx: Tensor  # [B, N] int64: the target slot that overlaps most
    foreground: Tensor  # [B, N] bool
    background: Tensor  # [B, N] bool; regions in neither are ignored


class Overlaps(NamedTuple):
    matched_idx: Tensor  # [B, N] int64, argmax over targets
    iou: Tensor  # [B, N], its overlap; 0 if there are no targets
    best: Tensor  # [B, N] bool: has the largest IoU of all regions with some target
    crowd_iof: Tensor  # [B, N]: largest fraction of the region inside a crowd (intersection over foreground)


def compute_overlaps(regions: Tensor, targets: Targets) -> Overlaps:
    """Compare regions [B, N, 4] (or [1, N, 4], shared by all images) with the targets, a chunk of slots at a time."""
    if runs_kernels(regions):
        from lineage.ops import matching_cuda  # Triton loads only where there is a GPU

        return Overlaps(*matching_cuda.compute_overlaps(regions, targets))
    first, *others = (_overlaps_of_chunk(regions, targets, start) for start in range(0, targets.boxes.shape[1], CHUNK))
    matched_idx, iou, best, crowd_iof = first
    for other in others:
        matched_idx = torch.where(other.iou > iou, other.matched_idx, matched_idx)  # ties: the first, as argmax
        iou = torch.maximum(iou, other.iou)
        best, crowd_iof = best | other.best, torch.maximum(crowd_iof, other.crowd_iof)
    return Overlaps(matched_idx, iou, best, crowd_iof)


def _overlaps_of_chunk(regions: Tensor, targets: Targets, start: int) -> Overlaps:
    boxes, valid, crowd = (field[:, start : start + CHUNK] for field in (targets.boxes, targets.valid, targets.crowd))
    # 1. IoU of every object with every region; crowds are no objects
    intersection = box_ops.intersection(boxes, regions)  # [B, G', N]
    areas = box_ops.area(regions)[:, None]
    iou = intersection / (box_ops.area(boxes)[..., None] + areas - intersection)
    iou = torch.where((valid & ~crowd)[..., None], iou, 0.0)
    # 2. the best regions of each object
    largest = iou.amax(2, keepdim=True)
    # deviates: torchvision and detectron2 call every region "best" for an object that overlaps none (a tie at 0)
    best = ((iou == largest) & (largest > 0)).any(1)
    # 3. the fraction of each region inside a crowd, and the best object of each region
    crowd_iof = torch.where((valid & crowd)[..., None], intersection / areas.clamp(min=1e-6), 0.0).amax(1)
    iou, index = iou.max(1)
    return Overlaps(index + start, iou, best, crowd_iof)


class Matcher:
    """Labels by IoU: foreground from `fg_iou_thresh` up, background in [low, high) `bg_iou_thresh`, else ignored.

    allow_low_quality_matches: the region of largest IoU with an object is foreground, however small the IoU.
    crowd_ignore_iof: a region with this fraction inside a crowd is ignored instead of background (Detectron: 0.7).
    """

    def __init__(
        self,
        *,
        fg_iou_thresh: float,
        bg_iou_thresh: tuple[float, float],
        allow_low_quality_matches: bool,
        crowd_ignore_iof: float,
    ):
        self.fg_iou_thresh, self.bg_iou_thresh = fg_iou_thresh, bg_iou_thresh
        self.allow_low_quality_matches, self.crowd_ignore_iof = allow_low_quality_matches, crowd_ignore_iof
        self.thresholds = (fg_iou_thresh, *bg_iou_thresh, crowd_ignore_iof)

    def __call__(self, regions: Tensor, targets: Targets) -> Match:
        """Match regions [B, N, 4] (or [1, N, 4], shared by all images) with the objects of each image."""
        if runs_kernels(regions):
            from lineage.ops import matching_cuda

            best = self.allow_low_quality_matches
            return Match(*matching_cuda.match(regions, targets, self.thresholds, best_is_foreground=best))
        overlaps = compute_overlaps(regions, targets)
        foreground = overlaps.iou >= self.fg_iou_thresh
        if self.allow_low_quality_matches:
            foreground = foreground | overlaps.best
        low, high = self.bg_iou_thresh
        background = (overlaps.iou >= low) & (overlaps.iou < high) & ~foreground
        return Match(overlaps.matched_idx, foreground, background & (overlaps.crowd_iof < self.crowd_ignore_iof))

    def label(
        self, regions: Tensor, valid: Tensor, targets: Targets, *, num_classes: int, min_size: float
    ) -> SampledProposals:
        """Label regions [B, N, 4], background by `num_classes`; the sample is all that are `valid` and not ignored.

        Regions with a side below `min_size` pixels are not valid.
        """
        if runs_kernels(regions) and not self.allow_low_quality_matches:
            from lineage.ops import matching_cuda

            labels, sampled, matched_idx = matching_cuda.label(
                regions, valid, targets, self.thresholds, background=num_classes, min_size=min_size
            )
            return SampledProposals(regions, sampled, labels, matched_idx)
        match = self(regions, targets)
        valid = valid & box_ops.has_min_size(regions, min_size)
        foreground, background = match.foreground & valid, match.background & valid
        labels = torch.where(foreground, targets.labels.gather(1, match.matched_idx), num_classes)
        return SampledProposals(regions, foreground | background, labels, match.matched_idx)


def object_loss_weights(targets: Targets, matched_idx: Tensor, foreground: Tensor) -> Tensor:
    """Return the loss weight of each region's object, [B, N] float32; background has weight 1."""
    if targets.object_weights is None:
        return torch.ones_like(matched_idx, dtype=torch.float32)
    return torch.where(foreground, targets.object_weights.gather(1, matched_idx), 1.0)


class Subset(NamedTuple):
    slots: Tensor  # [B, M] int64: the sampled regions, foreground first
    valid: Tensor  # [B, M] bool
    foreground: Tensor  # [B, M] bool


def subsample(match: Match, *, count: int, fraction: float, rng_keys: Tensor, salt: int) -> Subset:
    """Sample `count` regions per image at random: at most `fraction` of them foreground, the rest background."""
    num_regions = match.foreground.shape[1]
    num_foreground = min(int(count * fraction), num_regions)
    if runs_triton(match.foreground):
        from lineage.ops.cuda import sampling

        chosen = sampling.subsample(match.foreground, match.background, rng_keys, salt, count, num_foreground)
        return Subset(*chosen)
    random = uniform(rng_keys, salt, num_regions)
    # 1. draw the foreground
    drawn = torch.where(match.foreground, random, -1.0).topk(num_foreground).indices
    foreground = torch.zeros_like(match.foreground).scatter(1, drawn, True) & match.foreground
    # 2. rank: drawn foreground, then background in random order, then what is left out
    priority = torch.where(foreground, random + 2, torch.where(match.background, random + 1, 0.0))
    values, slots = priority.topk(min(count, num_regions))
    return Subset(slots, values >= 1, foreground.gather(1, slots))  # random + 1 may be rounded to 2
