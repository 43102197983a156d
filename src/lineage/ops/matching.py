"""Which region should find which object, and which regions are worth a loss.

Matching: Faster R-CNN (arXiv:1506.01497), section 3.1.2. Sampling: Fast R-CNN (arXiv:1504.08083), section 2.3.
Everything has a fixed shape, so nothing waits for the device.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lineage.ops import boxes as box_ops
from lineage.ops.random import uniform
from lineage.structures import Targets

CHUNK = 8  # ground-truth slots compared at once: memory stays at B x 8 x N however many objects an image holds


class Match(NamedTuple):
    matched_idx: Tensor  # [B, N] int64: the target slot that overlaps most
    foreground: Tensor  # [B, N] bool
    background: Tensor  # [B, N] bool; regions in neither are ignored


class Overlaps(NamedTuple):
    matched_idx: Tensor  # [B, N] int64, argmax over targets
    iou: Tensor  # [B, N], its overlap; 0 where there are no targets
    best: Tensor  # [B, N] bool: no other region overlaps some target more
    crowded: Tensor  # [B, N]: the largest share of the region inside a crowd


def overlaps(regions: Tensor, targets: Targets) -> Overlaps:
    """regions [B, N, 4] (or [1, N, 4], shared by all images); reads the target slots in chunks."""
    parts = [_overlap(regions, targets, start) for start in range(0, targets.boxes.shape[1], CHUNK)]
    gt, iou, best, crowded = parts[0]
    for other in parts[1:]:
        gt = torch.where(other.iou > iou, other.matched_idx, gt)  # strict: the first of equals wins, as argmax would
        iou = torch.maximum(iou, other.iou)
        best, crowded = best | other.best, torch.maximum(crowded, other.crowded)
    return Overlaps(gt, iou, best, crowded)


def _overlap(regions: Tensor, targets: Targets, start: int) -> Overlaps:
    boxes, valid, crowd = (field[:, start : start + CHUNK] for field in (targets.boxes, targets.valid, targets.crowd))
    shared = box_ops.intersection(boxes, regions)  # [B, G', N]
    areas = box_ops.area(regions)[:, None]
    iou = shared / (box_ops.area(boxes)[..., None] + areas - shared)
    iou = torch.where((valid & ~crowd)[..., None], iou, 0.0)
    top = iou.amax(2, keepdim=True)
    # deviates: torchvision and detectron2 call every region "best" for an object that overlaps none (a tie at 0)
    best = ((iou == top) & (top > 0)).any(1)
    crowded = torch.where((valid & crowd)[..., None], shared / areas.clamp(min=1e-6), 0.0).amax(1)
    value, index = iou.max(1)
    return Overlaps(index + start, value, best, crowded)


class Matcher:
    """Labels by IoU: foreground from `fg_iou_thresh` up, background in [low, high) `bg_iou_thresh`, else ignored."""

    def __init__(
        self,
        *,
        fg_iou_thresh: float,
        bg_iou_thresh: tuple[float, float],
        allow_low_quality_matches: bool,
        crowd_ignore_iof: float,
    ):
        self.fg_iou_thresh, self.bg_iou_thresh = fg_iou_thresh, bg_iou_thresh
        self.allow_low_quality_matches = (
            allow_low_quality_matches  # an object's best region is foreground however small the overlap
        )
        self.crowd_ignore_iof = (
            crowd_ignore_iof  # a region lying in a crowd by this share is no background (Detectron: 0.7)
        )

    def __call__(self, regions: Tensor, targets: Targets) -> Match:
        found = overlaps(regions, targets)
        foreground = found.iou >= self.fg_iou_thresh
        if self.allow_low_quality_matches:
            foreground = foreground | found.best
        low, high = self.bg_iou_thresh
        background = (found.iou >= low) & (found.iou < high) & ~foreground & (found.crowded < self.crowd_ignore_iof)
        return Match(found.matched_idx, foreground, background)


def shares(targets: Targets, gt: Tensor, foreground: Tensor) -> Tensor:
    """[B, N] float32: what the losses of a region count, the weight of its object; background counts in full."""
    if targets.object_weights is None:
        return torch.ones_like(gt, dtype=torch.float32)
    return torch.where(foreground, targets.object_weights.gather(1, gt), 1.0)


class Subset(NamedTuple):
    slots: Tensor  # [B, M] int64: the sampled regions, foreground first
    valid: Tensor  # [B, M] bool
    foreground: Tensor  # [B, M] bool


def subsample(match: Match, *, count: int, fraction: float, rng_keys: Tensor, salt: int) -> Subset:
    """At most `count` regions per image, at most `fraction` of them foreground, background fills the rest."""
    regions = match.foreground.shape[1]
    chance = uniform(rng_keys, salt, regions)
    quota = min(int(count * fraction), regions)
    drawn = torch.where(match.foreground, chance, -1.0).topk(quota).indices
    chosen = torch.zeros_like(match.foreground).scatter(1, drawn, True) & match.foreground
    priority = torch.where(chosen, chance + 2, torch.where(match.background, chance + 1, 0.0))
    values, slots = priority.topk(min(count, regions))
    return Subset(slots, values >= 1, values >= 2)
