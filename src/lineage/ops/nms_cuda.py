"""The CUDA kernel of ops.nms: one program per row, no host sync, no variable shapes.

A row's boxes stay in registers; the greedy pass visits them in order and clears those that each survivor
suppresses. Tests run it on the CPU through Triton's interpreter and compare it with torchvision.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def _greedy(boxes, groups, valid, keep, threshold, K, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    row = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, BLOCK)
    inside = lane < K
    mine = boxes + row * K * 4
    x1 = tl.load(mine + lane * 4, mask=inside, other=0.0)
    y1 = tl.load(mine + lane * 4 + 1, mask=inside, other=0.0)
    x2 = tl.load(mine + lane * 4 + 2, mask=inside, other=0.0)
    y2 = tl.load(mine + lane * 4 + 3, mask=inside, other=0.0)
    group = tl.load(groups + row * K + lane, mask=inside, other=-1)
    alive = tl.load(valid + row * K + lane, mask=inside, other=0).to(tl.int32)
    area = (x2 - x1) * (y2 - y1)
    for i in range(K):
        if tl.sum(tl.where(lane == i, alive, 0)) > 0:
            ix1, iy1 = tl.load(mine + i * 4), tl.load(mine + i * 4 + 1)
            ix2, iy2 = tl.load(mine + i * 4 + 2), tl.load(mine + i * 4 + 3)
            width = tl.maximum(tl.minimum(x2, ix2) - tl.maximum(x1, ix1), 0.0)
            height = tl.maximum(tl.minimum(y2, iy2) - tl.maximum(y1, iy1), 0.0)
            shared = width * height
            iou = shared / ((ix2 - ix1) * (iy2 - iy1) + area - shared)
            same = group == tl.load(groups + row * K + i)
            alive = tl.where((lane > i) & same & (iou > threshold), 0, alive)
    tl.store(keep + row * K + lane, alive.to(tl.int8), mask=inside)


def suppress(boxes: Tensor, groups: Tensor, valid: Tensor, threshold: float) -> Tensor:
    """Compute ops.nms.nms on CUDA: boxes [R, K, 4], groups [R, K], valid [R, K] -> [R, K] bool."""
    rows, slots = valid.shape
    keep = torch.empty(rows, slots, dtype=torch.int8, device=boxes.device)
    block = triton.next_power_of_2(slots)
    _greedy[(rows,)](
        boxes.float().contiguous(),
        groups.contiguous(),
        valid.to(torch.int8).contiguous(),
        keep,
        threshold,
        slots,
        BLOCK=block,
        num_warps=8 if block > 1024 else 4,
    )
    return keep.bool()
