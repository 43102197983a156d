"""The CUDA kernels of ops.matching: no matrix of regions and objects is ever written.

Where the best regions of an object count, the first kernel finds the best object of each region and the largest IoU of
each object, the second the regions that have it. Elsewhere a single kernel compares tiles of both. Divisions and sums
are rounded as torch's, so all kernels see equal numbers, and so does the CPU.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from lineage.ops.cuda.box_deltas import read_boxes
from lineage.ops.layers.kernels import EXACT
from lineage.structures import Targets

BLOCK = 512  # regions per program
TILE = {"BLOCK": 64, "SLOTS": 16}  # regions per program and objects at a time where one kernel does all
NUMBERS = ("stride", "N", "G", "total", "fg_iou", "low", "high", "max_iof", "min_size", "background")

Thresholds = tuple[float, ...]  # of foreground, lower and upper of background, of the fraction inside a crowd


@triton.jit
def _intersect(x1, y1, x2, y2, box):  # type: ignore[no-untyped-def]
    bx1, by1, bx2, by2 = tl.load(box), tl.load(box + 1), tl.load(box + 2), tl.load(box + 3)
    width = tl.maximum(tl.minimum(bx2, x2) - tl.maximum(bx1, x1), 0.0)
    height = tl.maximum(tl.minimum(by2, y2) - tl.maximum(by1, y1), 0.0)
    return width * height, (bx2 - bx1) * (by2 - by1)


@triton.jit
def _best_object(regions, stride, boxes, valid, crowd, largest, matched, iou, crowd_iof, N, G, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip
    image = tl.program_id(1).to(tl.int64)
    region = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = region < N
    x1, y1, x2, y2 = read_boxes(regions + image * stride, region, inside)
    area = (x2 - x1) * (y2 - y1)
    best_iou, best_index = tl.zeros([BLOCK], tl.float32), tl.zeros([BLOCK], tl.int64)
    best_iof = tl.zeros([BLOCK], tl.float32)
    for slot in range(G):
        if tl.load(valid + image * G + slot) != 0:
            shared, own = _intersect(x1, y1, x2, y2, boxes + (image * G + slot) * 4)
            if tl.load(crowd + image * G + slot) == 0:
                value = tl.where(inside, tl.div_rn(shared, own + area - shared), 0.0)
                best_index = tl.where(value > best_iou, slot, best_index)
                best_iou = tl.maximum(best_iou, value)
                # floats of at least 0 are ordered as the integers of their bits
                tl.atomic_max(largest + image * G + slot, tl.max(value, 0).to(tl.int32, bitcast=True))
            else:
                best_iof = tl.maximum(best_iof, tl.div_rn(shared, tl.maximum(area, 1e-6)))
    tl.store(matched + image * N + region, best_index, mask=inside)
    tl.store(iou + image * N + region, best_iou, mask=inside)
    tl.store(crowd_iof + image * N + region, best_iof, mask=inside)


@triton.jit
def _best_regions(regions, stride, boxes, largest, best, N, G, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip
    image = tl.program_id(1).to(tl.int64)
    region = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = region < N
    x1, y1, x2, y2 = read_boxes(regions + image * stride, region, inside)
    area = (x2 - x1) * (y2 - y1)
    flags = tl.zeros([BLOCK], tl.int32)
    for slot in range(G):
        top = tl.load(largest + image * G + slot)
        if top > 0:
            shared, own = _intersect(x1, y1, x2, y2, boxes + (image * G + slot) * 4)
            value = tl.div_rn(shared, own + area - shared)
            flags = tl.where(value.to(tl.int32, bitcast=True) == top, 1, flags)
    tl.store(best + image * N + region, flags != 0, mask=inside)


@triton.jit
def _judge(iou, crowd_iof, fg_iou, low, high, max_iof):  # type: ignore[no-untyped-def]
    """Return which regions are foreground, and which background by their overlaps."""
    return iou >= fg_iou, (iou >= low) & (iou < high) & (crowd_iof < max_iof)


@triton.jit
def _find_object(x1, y1, x2, y2, boxes, valid, crowd, G, BLOCK: tl.constexpr, SLOTS: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip
    """Return the best object of each region, its IoU, and the largest fraction inside a crowd."""
    x1, y1, x2, y2 = x1[:, None], y1[:, None], x2[:, None], y2[:, None]
    area = (x2 - x1) * (y2 - y1)
    best_iou, best_index = tl.zeros([BLOCK], tl.float32), tl.zeros([BLOCK], tl.int32)
    best_iof = tl.zeros([BLOCK], tl.float32)
    for start in range(0, G, SLOTS):
        slot = start + tl.arange(0, SLOTS)[None, :]
        exists = tl.load(valid + slot, mask=slot < G, other=0) != 0
        is_crowd = tl.load(crowd + slot, mask=slot < G, other=0) != 0
        bx1, by1, bx2, by2 = read_boxes(boxes, slot, exists)
        width = tl.maximum(tl.minimum(bx2, x2) - tl.maximum(bx1, x1), 0.0)
        height = tl.maximum(tl.minimum(by2, y2) - tl.maximum(by1, y1), 0.0)
        shared = width * height
        iou = tl.div_rn(shared, (bx2 - bx1) * (by2 - by1) + area - shared)
        iou = tl.where(exists & (is_crowd == 0) & (iou > 0), iou, 0.0)  # NaN, of two boxes without area, is 0
        iof = tl.where(exists & is_crowd, tl.div_rn(shared, tl.maximum(area, 1e-6)), 0.0)
        top = tl.max(iou, 1)
        first = tl.min(tl.where(iou == top[:, None], slot, G), 1)
        best_index = tl.where(top > best_iou, first, best_index)
        best_iou, best_iof = tl.maximum(best_iou, top), tl.maximum(best_iof, tl.max(iof, 1))
    return best_index, best_iou, best_iof


@triton.jit(do_not_specialize=NUMBERS)
def _match(regions, stride, boxes, valid, crowd, matched, foreground, background, N, G, fg_iou, low, high, max_iof, BLOCK: tl.constexpr, SLOTS: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip  # noqa: E501
    image = tl.program_id(1).to(tl.int64)
    region = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x1, y1, x2, y2 = read_boxes(regions + image * stride, region, region < N)
    boxes, valid, crowd = boxes + image * G * 4, valid + image * G, crowd + image * G
    index, iou, crowd_iof = _find_object(x1, y1, x2, y2, boxes, valid, crowd, G, BLOCK, SLOTS)
    is_foreground, is_background = _judge(iou, crowd_iof, fg_iou, low, high, max_iof)
    place = image * N + region
    tl.store(matched + place, index.to(tl.int64), mask=region < N)
    tl.store(foreground + place, is_foreground, mask=region < N)
    tl.store(background + place, is_background & (is_foreground == 0), mask=region < N)


@triton.jit(do_not_specialize=NUMBERS)
def _label(regions, stride, boxes, valid, crowd, matched, labels, sampled, classes, region_valid, N, G, fg_iou, low, high, max_iof, background, min_size, BLOCK: tl.constexpr, SLOTS: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip  # noqa: E501
    image = tl.program_id(1).to(tl.int64)
    region = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    place = image * N + region
    x1, y1, x2, y2 = read_boxes(regions + image * stride, region, region < N)
    is_valid = tl.load(region_valid + place, mask=region < N, other=0) != 0
    is_valid = is_valid & (x2 - x1 >= min_size) & (y2 - y1 >= min_size)
    boxes, valid, crowd = boxes + image * G * 4, valid + image * G, crowd + image * G
    index, iou, crowd_iof = _find_object(x1, y1, x2, y2, boxes, valid, crowd, G, BLOCK, SLOTS)
    is_foreground, is_background = _judge(iou, crowd_iof, fg_iou, low, high, max_iof)
    is_foreground = is_foreground & is_valid
    label = tl.load(classes + image * G + index, mask=is_foreground & (region < N), other=background)
    tl.store(matched + place, index.to(tl.int64), mask=region < N)
    tl.store(labels + place, tl.where(is_foreground, label, background), mask=region < N)
    tl.store(sampled + place, is_foreground | (is_background & is_valid), mask=region < N)


@triton.jit(do_not_specialize=NUMBERS)
def _judge_overlaps(iou, best, crowd_iof, foreground, background, total, fg_iou, low, high, max_iof, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip  # noqa: E501
    index = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = index < total
    overlap, inside_crowd = tl.load(iou + index, mask=inside), tl.load(crowd_iof + index, mask=inside)
    is_foreground, is_background = _judge(overlap, inside_crowd, fg_iou, low, high, max_iof)
    is_foreground = is_foreground | (tl.load(best + index, mask=inside, other=0) != 0)
    tl.store(foreground + index, is_foreground, mask=inside)
    tl.store(background + index, is_background & (is_foreground == 0), mask=inside)


def compute_overlaps(regions: Tensor, targets: Targets) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return (matched_idx, iou, best, crowd_iof), all [B, N]; regions [B, N, 4] or [1, N, 4]."""
    inputs, images, count, slots = _arrange(regions, targets)
    largest = torch.zeros(images, slots, dtype=torch.int32, device=regions.device)
    iou, crowd_iof = (torch.empty(images, count, device=regions.device) for _ in range(2))
    matched, best = _empty(regions, images, torch.int64), _empty(regions, images, torch.bool)
    grid = (triton.cdiv(count, BLOCK), images)
    with torch.cuda.device_of(regions):
        _best_object[grid](*inputs, largest, matched, iou, crowd_iof, count, slots, BLOCK=BLOCK, **EXACT)
        _best_regions[grid](*inputs[:3], largest, best, count, slots, BLOCK=BLOCK, **EXACT)
    return matched, iou, best, crowd_iof


def match(
    regions: Tensor, targets: Targets, thresholds: Thresholds, *, best_is_foreground: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return (matched_idx, foreground, background), all [B, N]; regions [B, N, 4] or [1, N, 4].

    best_is_foreground: also regions of the largest IoU with an object are foreground.
    """
    inputs, images, count, slots = _arrange(regions, targets)
    foreground, background = (_empty(regions, images, torch.bool) for _ in range(2))
    numbers = [float(number) for number in thresholds]
    if best_is_foreground:
        matched, *overlaps = compute_overlaps(regions, targets)
        grid, outputs = (triton.cdiv(images * count, BLOCK),), (foreground, background)
        with torch.cuda.device_of(regions):
            _judge_overlaps[grid](*overlaps, *outputs, images * count, *numbers, BLOCK=BLOCK, **EXACT)
        return matched, foreground, background
    matched = _empty(regions, images, torch.int64)
    _launch_tiles(_match, *inputs, matched, foreground, background, count, slots, *numbers)
    return matched, foreground, background


def label(
    regions: Tensor, valid: Tensor, targets: Targets, thresholds: Thresholds, *, background: int, min_size: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return (labels, sampled, matched_idx), all [B, N]; see Matcher.label."""
    inputs, images, count, slots = _arrange(regions, targets)
    matched, labels = (_empty(regions, images, torch.int64) for _ in range(2))
    sampled, numbers = _empty(regions, images, torch.bool), (*map(float, thresholds), background, float(min_size))
    of_regions = matched, labels, sampled, targets.labels.contiguous(), valid.contiguous()
    _launch_tiles(_label, *inputs, *of_regions, count, slots, *numbers)
    return labels, sampled, matched


def _arrange(regions: Tensor, targets: Targets) -> tuple[tuple[Any, ...], int, int, int]:
    """Return what all kernels take first, and the numbers of images, of regions and of slots for objects."""
    images, slots = targets.valid.shape
    count = regions.shape[1]
    objects = (x.contiguous() for x in (targets.boxes, targets.valid, targets.crowd))
    return (regions.contiguous(), 0 if len(regions) == 1 else 4 * count, *objects), images, count, slots


def _empty(regions: Tensor, images: int, dtype: torch.dtype) -> Tensor:
    return torch.empty(images, regions.shape[1], dtype=dtype, device=regions.device)


def _launch_tiles(kernel: Any, regions: Tensor, *arguments: Any) -> None:
    grid = (triton.cdiv(regions.shape[1], TILE["BLOCK"]), len(arguments[2]))
    with torch.cuda.device_of(regions):
        kernel[grid](regions, *arguments, **TILE, **EXACT)
