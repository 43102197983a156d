"""The CUDA kernels of ops.nms: no host sync, no variable shapes.

1. `_overlap` computes in parallel which boxes each box would suppress: a bit per pair, 64 to a word.
2. `_greedy`, one program per row of boxes, decides in order. The 64 boxes of a word are decided in registers, and the
   words of those that survive are combined at once; so a row of 2,000 boxes takes 32 steps that wait for memory.
Tests run both on the CPU through Triton's interpreter and compare them with torchvision.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from lineage.ops.layers.kernels import EXACT

WORD = 64  # boxes to a word


@triton.jit
def _corners(boxes, index, exists):  # type: ignore[no-untyped-def]
    x1 = tl.load(boxes + index * 4, mask=exists, other=0.0)
    y1 = tl.load(boxes + index * 4 + 1, mask=exists, other=0.0)
    x2 = tl.load(boxes + index * 4 + 2, mask=exists, other=0.0)
    y2 = tl.load(boxes + index * 4 + 3, mask=exists, other=0.0)
    return x1, y1, x2, y2


@triton.jit(do_not_specialize=["threshold", "K"])
def _overlap(boxes, groups, suppresses, threshold, K, WORDS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):  # type: ignore[no-untyped-def]
    row = tl.program_id(0).to(tl.int64)
    mine, group = boxes + row * K * 4, groups + row * K
    earlier = tl.program_id(1) * ROWS + tl.arange(0, ROWS)[:, None]
    word = tl.program_id(2) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    # boxes are sorted: a box suppresses later ones only, and words before its own are never read
    if (tl.program_id(2) + 1) * COLUMNS * 64 > tl.program_id(1) * ROWS:
        x1, y1, x2, y2 = _corners(mine, earlier, earlier < K)
        area = (x2 - x1) * (y2 - y1)
        own = tl.load(group + earlier, mask=earlier < K, other=-1)
        bits = tl.zeros([ROWS, COLUMNS], tl.int64)
        for bit in range(64):
            later = word * 64 + bit
            jx1, jy1, jx2, jy2 = _corners(mine, later, later < K)
            width = tl.maximum(tl.minimum(jx2, x2) - tl.maximum(jx1, x1), 0.0)
            height = tl.maximum(tl.minimum(jy2, y2) - tl.maximum(jy1, y1), 0.0)
            shared = width * height
            iou = shared / (area + (jx2 - jx1) * (jy2 - jy1) - shared)
            same = own == tl.load(group + later, mask=later < K, other=-2)
            bits |= (same & (later > earlier) & (iou > threshold)).to(tl.int64) << bit
        place = (row * WORDS * 64 + earlier) * WORDS + word
        tl.store(suppresses + place, bits, mask=(earlier < WORDS * 64) & (word < WORDS))


@triton.jit
def _or(a, b):  # type: ignore[no-untyped-def]
    return a | b


@triton.jit(do_not_specialize=["K"])
def _greedy(suppresses, valid, keep, K, WORDS: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    row = tl.program_id(0).to(tl.int64)
    word = tl.arange(0, BLOCK)
    # 1. a bit per box that is not valid or does not exist
    removed = tl.zeros([BLOCK], tl.int64)
    for bit in range(64):
        box = word * 64 + bit
        usable = tl.load(valid + row * K + box, mask=box < K, other=0) != 0
        removed |= tl.where(usable, 0, 1).to(tl.int64) << bit
    last = tl.max(tl.where(removed != -1, word, -1), 0)
    for step in range(last + 1):
        # 2. load what the 64 boxes of a word suppress in later words: its latency passes while 3 decides
        line = suppresses + (row * WORDS + step) * 64 * WORDS
        boxes = tl.arange(0, 64)
        later = (word > step) & (word < WORDS)
        rows = tl.load(line + boxes[:, None] * WORDS + word[None, :], mask=later[None, :], other=0)
        # 3. those 64 boxes in order: one that is alive removes those it suppresses
        dead = tl.sum(tl.where(word == step, removed, 0), 0)
        for place in tl.static_range(64):
            survives = (dead >> place) & 1 == 0
            dead |= tl.where(survives, tl.load(line + place * WORDS + step), 0)
        # 4. all that the survivors suppress
        alive = (dead >> boxes) & 1 == 0
        removed |= tl.reduce(tl.where(alive[:, None], rows, 0), 0, _or)
        removed = tl.where(word == step, dead, removed)
    # 5. a flag per box
    for bit in range(64):
        box = word * 64 + bit
        tl.store(keep + row * K + box, (((removed >> bit) & 1) == 0).to(tl.int8), mask=box < K)


def suppress(boxes: Tensor, groups: Tensor, valid: Tensor, threshold: float) -> Tensor:
    """Compute ops.nms.nms on CUDA: boxes [R, K, 4], groups [R, K], valid [R, K] -> [R, K] bool."""
    rows, slots = valid.shape
    words = triton.cdiv(slots, WORD)
    keep = torch.empty(rows, slots, dtype=torch.int8, device=boxes.device)
    if not valid.numel():
        return keep.bool()
    suppresses = torch.empty(rows, words * WORD, words, dtype=torch.int64, device=boxes.device)
    block_rows, block_words = 32, min(triton.next_power_of_2(words), 16)
    with torch.cuda.device_of(boxes):
        _overlap[(rows, words * WORD // block_rows, triton.cdiv(words, block_words))](
            boxes.float().contiguous(), groups.contiguous(), suppresses, threshold, slots,
            WORDS=words, ROWS=block_rows, COLUMNS=block_words, **EXACT,
        )  # fmt: skip
        _greedy[(rows,)](
            suppresses, valid.to(torch.int8).contiguous(), keep, slots,
            WORDS=words, BLOCK=triton.next_power_of_2(words), **EXACT,
        )  # fmt: skip
    return keep.bool()
