"""The CUDA kernel of a cascade's refined boxes: the likeliest class, its deltas, the decoded box, clipped to the image.

The plain form is `_refine` of models/roi_heads/cascade.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from lineage.ops.cuda.box_deltas import NUMBERS, decode_box, limit_box, write_boxes
from lineage.ops.cuda.class_scores import block_shape, likeliest, read_scores
from lineage.ops.layers.kernels import EXACT


@triton.jit(do_not_specialize=NUMBERS)
def _refine(logits, deltas, boxes, sizes, out, total, per_image, wx, wy, ww, wh, max_log_ratio, MAPS: tl.constexpr, CLASSES: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip  # noqa: E501
    row, column, _, x = read_scores(logits, total, CLASSES, ROWS, COLUMNS)
    index, inside = row.to(tl.int64), row < total
    place = index * MAPS + tl.minimum(likeliest(x, column, CLASSES - 1), MAPS - 1)
    x1, y1, x2, y2 = decode_box(deltas, place, boxes, index, inside, wx, wy, ww, wh, max_log_ratio)
    x1, y1, x2, y2 = limit_box(sizes, index // per_image, inside, x1, y1, x2, y2)
    write_boxes(out, index, inside, x1, y1, x2, y2)


def refine(
    logits: Tensor, deltas: Tensor, boxes: Tensor, weights: Sequence[float], max_log_ratio: float, sizes: Tensor
) -> Tensor:
    """Move boxes [B, N, 4] by the deltas of their likeliest class, and clip them to sizes [B, 2].

    logits [B, N, C + 1] of a softmax, background last; deltas [B, N, K, 4], of C classes or one for any
    """
    total = logits.shape[0] * logits.shape[1]
    inputs = [x.contiguous() for x in (logits, deltas, boxes, sizes)]
    out = torch.empty_like(inputs[2])
    numbers = (total, max(logits.shape[1], 1), *map(float, weights), max_log_ratio)
    block = block_shape(logits.shape[2])
    with torch.cuda.device_of(out):
        _refine[(triton.cdiv(total, block["ROWS"]),)](*inputs, out, *numbers, MAPS=deltas.shape[2], **block, **EXACT)
    return out
