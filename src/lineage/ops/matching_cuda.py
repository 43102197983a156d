"""The CUDA kernels of ops.matching.compute_overlaps: no matrix of regions and objects is ever written.

The first kernel finds the best object of each region and the largest IoU of each object, the second the regions that
have it. Divisions and sums are rounded as torch's, so both kernels see equal numbers, and so does the CPU.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from lineage.ops.layers.kernels import EXACT

BLOCK = 512  # regions per program


@triton.jit
def _intersect(x1, y1, x2, y2, box):  # type: ignore[no-untyped-def]
    bx1, by1, bx2, by2 = tl.load(box), tl.load(box + 1), tl.load(box + 2), tl.load(box + 3)
    width = tl.maximum(tl.minimum(bx2, x2) - tl.maximum(bx1, x1), 0.0)
    height = tl.maximum(tl.minimum(by2, y2) - tl.maximum(by1, y1), 0.0)
    return width * height, (bx2 - bx1) * (by2 - by1)


@triton.jit
def _best_object(regions, stride, boxes, kinds, largest, matched, iou, crowd_iof, N, G, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip
    image = tl.program_id(1).to(tl.int64)
    region = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = region < N
    place = regions + image * stride + region * 4
    x1, y1 = tl.load(place, mask=inside, other=0.0), tl.load(place + 1, mask=inside, other=0.0)
    x2, y2 = tl.load(place + 2, mask=inside, other=0.0), tl.load(place + 3, mask=inside, other=0.0)
    area = (x2 - x1) * (y2 - y1)
    best_iou, best_index = tl.zeros([BLOCK], tl.float32), tl.zeros([BLOCK], tl.int64)
    best_iof = tl.zeros([BLOCK], tl.float32)
    for slot in range(G):
        kind = tl.load(kinds + image * G + slot)  # 0 empty, 1 object, 2 crowd
        if kind > 0:
            shared, own = _intersect(x1, y1, x2, y2, boxes + (image * G + slot) * 4)
            if kind == 1:
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
def _best_regions(regions, stride, boxes, kinds, largest, best, N, G, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip
    image = tl.program_id(1).to(tl.int64)
    region = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = region < N
    place = regions + image * stride + region * 4
    x1, y1 = tl.load(place, mask=inside, other=0.0), tl.load(place + 1, mask=inside, other=0.0)
    x2, y2 = tl.load(place + 2, mask=inside, other=0.0), tl.load(place + 3, mask=inside, other=0.0)
    area = (x2 - x1) * (y2 - y1)
    flags = tl.zeros([BLOCK], tl.int32)
    for slot in range(G):
        top = tl.load(largest + image * G + slot)
        if (tl.load(kinds + image * G + slot) == 1) & (top > 0):
            shared, own = _intersect(x1, y1, x2, y2, boxes + (image * G + slot) * 4)
            value = tl.div_rn(shared, own + area - shared)
            flags = tl.where(value.to(tl.int32, bitcast=True) == top, 1, flags)
    tl.store(best + image * N + region, flags.to(tl.int8), mask=inside)


def compute_overlaps(
    regions: Tensor, boxes: Tensor, valid: Tensor, crowd: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return (matched_idx, iou, best, crowd_iof), all [B, N]; regions [B, N, 4] or [1, N, 4], boxes [B, G, 4]."""
    images, slots = valid.shape
    count = regions.shape[1]
    regions, boxes = regions.contiguous(), boxes.contiguous()
    kinds = (valid.to(torch.int32) * (1 + crowd.to(torch.int32))).contiguous()
    largest = torch.zeros(images, slots, dtype=torch.int32, device=boxes.device)
    iou, crowd_iof = (torch.empty(images, count, device=boxes.device) for _ in range(2))
    matched = torch.empty(images, count, dtype=torch.int64, device=boxes.device)
    best = torch.empty(images, count, dtype=torch.int8, device=boxes.device)
    grid = (triton.cdiv(count, BLOCK), images)
    shared = regions, 0 if len(regions) == 1 else 4 * count, boxes, kinds, largest
    _best_object[grid](*shared, matched, iou, crowd_iof, count, slots, BLOCK=BLOCK, **EXACT)
    _best_regions[grid](*shared, best, count, slots, BLOCK=BLOCK, **EXACT)
    return matched, iou, best.bool(), crowd_iof
