"""The CUDA kernels of ops.nms: no host sync, no variable shapes.

1. `_overlap` computes in parallel which boxes each box would suppress: a bit per pair, 64 to a word.
2. `_greedy`, one program per row of boxes, decides in order. The 64 boxes of a word are decided in registers, and the
   words of those that survive are combined at once; so a row of 2,000 boxes takes 32 steps that wait for memory.
Tests run both on the CPU through Triton's interpreter and compare them with torchvision.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

from lineage.ops.cuda.box_deltas import read_boxes
from lineage.ops.layers.kernels import EXACT

WORD = 64  # boxes to a word
ROWS = 256  # boxes per program, each compared with those of a word


@triton.jit(do_not_specialize=["threshold", "rest", "K"])
def _overlap(boxes, groups, suppresses, threshold, rest, K, WORDS: tl.constexpr, ROWS: tl.constexpr):  # type: ignore[no-untyped-def]
    row, word = tl.program_id(0).to(tl.int64), tl.program_id(2)
    # boxes are sorted: a box suppresses later ones only, and words before its own are never read
    if (word + 1) * 64 > tl.program_id(1) * ROWS:
        boxes, groups = boxes + row * K * 4, groups + row * K
        earlier = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
        x1, y1, x2, y2 = read_boxes(boxes, earlier, earlier < K)
        area = tl.abs(x2 - x1) * tl.abs(y2 - y1)
        own = tl.load(groups + earlier, mask=earlier < K, other=-1).to(tl.int32)
        # 1. compare with the 64 boxes of a word, or the last 64: all exist, so that no load has a condition
        first = tl.minimum(word * 64, K - 64)
        corner, group, bits = boxes + first * 4, groups + first, tl.zeros([ROWS], tl.uint64)
        for shift in range(0, 64, 8):
            part = tl.zeros([ROWS], tl.int32)
            for bit in tl.static_range(8):
                jx1, jy1 = tl.load(corner + bit * 4), tl.load(corner + bit * 4 + 1)
                jx2, jy2 = tl.load(corner + bit * 4 + 2), tl.load(corner + bit * 4 + 3)
                width = tl.maximum(tl.minimum(jx2, x2) - tl.maximum(jx1, x1), 0.0)
                height = tl.minimum(jy2, y2) - tl.maximum(jy1, y1)
                same = own == tl.load(group + bit).to(tl.int32)
                shared = tl.where(same, width * height, 0.0)  # not above 0 if the boxes are apart
                union = area + tl.abs(jx2 - jx1) * tl.abs(jy2 - jy1) - shared  # not below 0 either
                # shared > (threshold + rest) * union: near the threshold, fma is exact
                part |= tl.where(tl.fma(union, -threshold, shared) > rest * union, 1 << bit, 0)
            bits |= part.to(tl.uint64) << shift
            corner, group = corner + 32, group + 8
        # 2. leave those of the word that come later
        bits = bits >> (word * 64 - first).to(tl.uint64)
        skipped = tl.maximum(earlier + 1 - word * 64, 0)
        bits = tl.where(skipped < 64, bits >> skipped.to(tl.uint64) << skipped.to(tl.uint64), 0)
        place = (row * WORDS * 64 + earlier) * WORDS + word
        tl.store(suppresses + place, bits.to(tl.int64, bitcast=True), mask=earlier < WORDS * 64)


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


@cache
def _split(threshold: float) -> tuple[float, float]:
    """Return the largest float32 up to the threshold, and the rest of it.

    The rest is larger by 2^-30, so that rounding takes no overlap of exactly the threshold for a larger one.
    """
    value = torch.tensor(threshold, dtype=torch.float32)
    if value.item() > threshold:
        value = torch.nextafter(value, torch.tensor(-torch.inf))
    return value.item(), threshold - value.item() + 2.0**-30


def suppress(boxes: Tensor, groups: Tensor, valid: Tensor, threshold: float) -> Tensor:
    """Compute ops.nms.nms on CUDA: boxes [R, K, 4], groups [R, K], valid [R, K] -> [R, K] bool."""
    missing = WORD - valid.shape[1]
    if 0 < missing < WORD:  # the kernels compare with 64 boxes at a time
        boxes, groups, valid = F.pad(boxes, (0, 0, 0, missing)), F.pad(groups, (0, missing)), F.pad(valid, (0, missing))
        return suppress(boxes, groups, valid, threshold)[:, :-missing]
    rows, slots = valid.shape
    words = triton.cdiv(slots, WORD)
    keep = torch.empty(rows, slots, dtype=torch.int8, device=boxes.device)
    if not valid.numel():
        return keep.bool()
    suppresses = torch.empty(rows, words * WORD, words, dtype=torch.int64, device=boxes.device)
    grid = (rows, triton.cdiv(words * WORD, ROWS), words)
    with torch.cuda.device_of(boxes):
        _overlap[grid](
            boxes.float().contiguous(), groups.contiguous(), suppresses, *_split(threshold), slots,
            WORDS=words, ROWS=ROWS, **EXACT,
        )  # fmt: skip
        _greedy[(rows,)](
            suppresses, valid.to(torch.int8).contiguous(), keep, slots,
            WORDS=words, BLOCK=triton.next_power_of_2(words), **EXACT,
        )  # fmt: skip
    return keep.bool()
