"""The CUDA kernel of Pooler (models/roi_heads/pooler.py): the level of each region, and the region in its pixels."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from lineage.ops.cuda.box_deltas import read_boxes
from lineage.ops.cuda.math_functions import clamp, log2
from lineage.ops.layers.kernels import EXACT

BLOCK = 256  # regions per program
# that no kernel is compiled anew for
NUMBERS = ("total", "regions", "levels", "finest", "canonical_size", "canonical_level")


@triton.jit(do_not_specialize=NUMBERS)
def _scale(boxes, strides, rois, level, total, regions, levels, finest, canonical_size, canonical_level, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip  # noqa: E501
    index = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = index < total
    x1, y1, x2, y2 = read_boxes(boxes, index, inside)
    area = (x2 - x1) * (y2 - y1)
    side = tl.sqrt_rn(tl.where(area < 0, 0.0, area))
    value = tl.floor(canonical_level + log2(tl.div_rn(side, canonical_size)) + 1e-6)
    value = clamp(value, finest, finest + levels - 1.0) - finest
    own = tl.where(value == value, value, 0.0).to(tl.int64)  # a level of NaN must exist
    stride = tl.load(strides + own, mask=inside, other=1.0)
    tl.store(level + index, own, mask=inside)
    place = rois + index * 5
    tl.store(place, (index // regions).to(tl.float32), mask=inside)
    tl.store(place + 1, tl.div_rn(x1, stride), mask=inside)
    tl.store(place + 2, tl.div_rn(y1, stride), mask=inside)
    tl.store(place + 3, tl.div_rn(x2, stride), mask=inside)
    tl.store(place + 4, tl.div_rn(y2, stride), mask=inside)


def scale(
    boxes: Tensor, strides: Tensor, finest: int, canonical_size: float, canonical_level: float
) -> tuple[Tensor, Tensor]:
    """Return regions [B * N, 5] (image, x1, y1, x2, y2) in pixels of their levels, and the levels [B * N] int64.

    boxes: [B, N, 4] in pixels of the image. strides: [L] float32, the first is 2^finest.
    """
    images, regions = boxes.shape[:2]
    boxes, total = boxes.contiguous(), images * regions
    rois = torch.empty(total, 5, device=boxes.device)
    level = torch.empty(total, dtype=torch.int64, device=boxes.device)
    numbers = total, regions, *map(float, (len(strides), finest, canonical_size, canonical_level))
    with torch.cuda.device_of(boxes):
        _scale[(triton.cdiv(total, BLOCK),)](boxes, strides, rois, level, *numbers, BLOCK=BLOCK, **EXACT)
    return rois, level
