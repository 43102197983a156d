"""The CUDA kernels of models/proposals/ranking.py: the highest scores of each segment of a row, best first.

1. `_count`, four times: programs count 8 more bits of the scores of a chunk, those whose higher bits are those of the
   k-th best so far. What each counts stays apart, so that nothing depends on an order of additions.
2. `_keep` writes the k best to a list: those above the k-th, then its equals, each in the order of their indices.
3. `_rank` compares all of a list with each other: the place of a score is the number of those before it. Rows of up to
   DIRECT scores need nothing else.

Of equal scores the lower index comes first. NaN counts as infinity, so that every place is written whatever comes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from lineage.ops.layers.kernels import EXACT
from lineage.ops.levels_cuda import select

BINS = 256  # values of 8 bits
CHUNK, WARPS = 4096, 8  # scores per program that counts; its warps
TILE = 16  # chunks whose counts are read at once
RANKED, OTHERS = 32, 128  # scores per program that ranks, and those they are compared with at once
DIRECT = 4096  # scores of a segment that are ranked at once: 16 million comparisons
MAX_SEGMENTS = 5
NUMBERS = ("width", "k", "chunks", "n0", "n1", "n2", "n3", "n4")  # that no kernel is compiled anew for


@triton.jit
def _order(scores):  # type: ignore[no-untyped-def]
    """Return int32 keys in the order of the scores; -0 is 0 and NaN is infinity."""
    scores = tl.where(scores == scores, scores, float("inf")) + 0.0
    bits = scores.to(tl.int32, bitcast=True)
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


@triton.jit
def _segment(n0, n1, n2, n3, n4):  # type: ignore[no-untyped-def]
    """Return where the segment of this program begins in a row, and its size."""
    segment = tl.program_id(1)
    a, b, c = n0 + n1, n0 + n1 + n2, n0 + n1 + n2 + n3
    return select(segment, 0, n0, a, b, c), select(segment, n0, n1, n2, n3, n4)


@triton.jit
def _row():  # type: ignore[no-untyped-def]
    """Return the row of this program's segment in tables [B, S, ...]."""
    return tl.program_id(2).to(tl.int64) * tl.num_programs(1) + tl.program_id(1)


@triton.jit
def _read_keys(scores, width, start, size, CHUNK: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return the keys of this program's chunk as unsigned numbers, and which of them exist."""
    index = tl.program_id(0) * CHUNK + tl.arange(0, CHUNK)
    place = scores + tl.program_id(2).to(tl.int64) * width + start
    keys = _order(tl.load(place + index, mask=index < size, other=0.0))
    return keys.to(tl.uint32, bitcast=True) ^ 0x80000000, index < size


@triton.jit
def _find_digit(counts, size, nth, CHUNK: tl.constexpr, BINS: tl.constexpr, TILE: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return the digit of the nth highest score of a segment with counts [chunks, BINS]; how many have a higher.

    A digit is what was counted last: 8 bits of the scores that are still in question.
    """
    digits, total = tl.arange(0, BINS), tl.zeros([BINS], tl.int32)
    last = tl.cdiv(size, CHUNK)
    for first in range(0, last, TILE):
        chunk = (first + tl.arange(0, TILE))[:, None]
        total += tl.sum(tl.load(counts + chunk * BINS + digits[None, :], mask=chunk < last, other=0), 0)
    reached = tl.cumsum(total, 0, reverse=True) >= nth  # scores of this digit or a higher one suffice
    digit = tl.max(tl.where(reached, digits, 0), 0)
    return digit, tl.sum(tl.where(digits > digit, total, 0), 0)


@triton.jit(do_not_specialize=NUMBERS)
def _count(scores, before, counts, states, width, k, chunks, n0, n1, n2, n3, n4, SHIFT: tl.constexpr, CHUNK: tl.constexpr, BINS: tl.constexpr, TILE: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip  # noqa: E501
    start, size = _segment(n0, n1, n2, n3, n4)
    if tl.program_id(0) * CHUNK < size:
        keys, counted = _read_keys(scores, width, start, size, CHUNK)
        table, digits = _row() * chunks, tl.arange(0, BINS)
        place = table + tl.program_id(0)
        # 1. the state of a chunk: bits of the k-th best, which of its equals it is, how many here are higher
        prefix, nth, above = tl.zeros([], tl.uint32), tl.minimum(k, size), tl.zeros([], tl.int32)
        if SHIFT < 24:
            prefix = tl.load(states + place * 3).to(tl.uint32, bitcast=True)
            nth, above = tl.load(states + place * 3 + 1), tl.load(states + place * 3 + 2)
            digit, higher = _find_digit(before + table * BINS, size, nth, CHUNK, BINS, TILE)
            nth -= higher
            prefix |= digit.to(tl.uint32) << (SHIFT + 8)
            above += tl.sum(tl.where(digits > digit, tl.load(before + place * BINS + digits), 0), 0)
            counted &= ((keys ^ prefix) >> (SHIFT + 8)) == 0
        tl.store(states + place * 3, prefix.to(tl.int32, bitcast=True))
        tl.store(states + place * 3 + 1, nth)
        tl.store(states + place * 3 + 2, above)
        # 2. the next 8 bits
        histogram = tl.histogram(((keys >> SHIFT) & 255).to(tl.int32), BINS, mask=counted)
        tl.store(counts + place * BINS + digits, histogram)


@triton.jit
def _sum_earlier(counts, states, digit, CHUNKS, BINS: tl.constexpr, TILE: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return how many scores of earlier chunks are higher than the k-th best, and how many equal it."""
    digits = tl.arange(0, BINS)[None, :]
    higher, equal = tl.zeros([TILE, BINS], tl.int32), tl.zeros([TILE, BINS], tl.int32)
    above = tl.zeros([TILE], tl.int32)
    for first in range(0, tl.program_id(0), TILE):
        chunk = first + tl.arange(0, TILE)
        exists = chunk < tl.program_id(0)
        values = tl.load(counts + chunk[:, None] * BINS + digits, mask=exists[:, None], other=0)
        higher += tl.where(digits > digit, values, 0)
        equal += tl.where(digits == digit, values, 0)
        above += tl.load(states + chunk * 3 + 2, mask=exists, other=0)
    return tl.sum(tl.sum(higher, 1) + above, 0), tl.sum(tl.sum(equal, 1), 0)


@triton.jit(do_not_specialize=NUMBERS)
def _keep(scores, counts, states, best, width, k, chunks, n0, n1, n2, n3, n4, CHUNK: tl.constexpr, BINS: tl.constexpr, TILE: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip  # noqa: E501
    start, size = _segment(n0, n1, n2, n3, n4)
    if tl.program_id(0) * CHUNK < size:
        keys, exists = _read_keys(scores, width, start, size, CHUNK)
        counts, states = counts + _row() * chunks * BINS, states + _row() * chunks * 3
        # 1. the k-th best, and how many of its equals are taken: those of the lowest indices
        mine = states + tl.program_id(0) * 3
        prefix, nth = tl.load(mine).to(tl.uint32, bitcast=True), tl.load(mine + 1)
        digit, higher = _find_digit(counts, size, nth, CHUNK, BINS, TILE)
        nth -= higher
        worst = prefix | digit.to(tl.uint32)
        # 2. places: all that are higher, then the equals; both counts in one sum, of 16 bits each
        is_higher, is_equal = exists & (keys > worst), exists & (keys == worst)
        flags = is_higher.to(tl.int32) + (is_equal.to(tl.int32) << 16)
        earlier = tl.cumsum(flags, 0) - flags
        first_higher, first_equal = _sum_earlier(counts, states, digit, chunks, BINS, TILE)
        equal = first_equal + (earlier >> 16)
        place = tl.where(is_higher, first_higher + (earlier & 0xFFFF), tl.minimum(k, size) - nth + equal)
        index = tl.program_id(0) * CHUNK + tl.arange(0, CHUNK)
        place += _row() * 2 * k
        is_best = is_higher | (is_equal & (equal < nth))
        tl.store(best + place, (keys ^ 0x80000000).to(tl.int32, bitcast=True), mask=is_best)
        tl.store(best + place + k, index, mask=is_best)


@triton.jit
def _read_listed(scores, best, slot, size):  # type: ignore[no-untyped-def]
    """Return the keys in these slots of a list; without one, of all scores."""
    if best is not None:
        keys = tl.load(best + slot, mask=slot < size, other=-2147483648)  # lower than -infinity
    else:
        keys = tl.where(slot < size, _order(tl.load(scores + slot, mask=slot < size, other=0.0)), -2147483648)
    return keys


@triton.jit
def _tally(ahead, scores, best, keys, start, stop, size, OTHERS: tl.constexpr):  # type: ignore[no-untyped-def]
    """Add to [RANKED, OTHERS] how many in the slots from start to stop, by residue, have a larger key than mine."""
    for first in tl.range(start, stop, OTHERS, loop_unroll_factor=4):
        others = _read_listed(scores, best, first + tl.arange(0, OTHERS), size)
        ahead += (others[None, :] > keys[:, None]).to(tl.int32)
    return ahead


@triton.jit(do_not_specialize=NUMBERS)
def _rank(scores, best, values, indices, width, k, chunks, n0, n1, n2, n3, n4, RANKED: tl.constexpr, OTHERS: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip  # noqa: E501
    start, size = _segment(n0, n1, n2, n3, n4)
    scores += tl.program_id(2).to(tl.int64) * width + start
    values, indices = values + _row() * k, indices + _row() * k
    places = tl.minimum(k, size)
    if best is not None:
        best += _row() * 2 * k
        size = places
    slot = tl.program_id(0) * RANKED + tl.arange(0, RANKED)
    if tl.program_id(0) * RANKED < size:
        # 1. lists are in the order of indices, so that equals in front come first
        keys = _read_listed(scores, best, slot, size)
        beside = tl.program_id(0) * RANKED // OTHERS * OTHERS
        ahead = tl.zeros([RANKED, OTHERS], tl.int32)
        ahead = _tally(ahead, scores, best, keys - 1, 0, beside, size, OTHERS)
        ahead = _tally(ahead, scores, best, keys, beside + OTHERS, size, size, OTHERS)
        other = beside + tl.arange(0, OTHERS)
        is_equal_in_front = (other[None, :] < slot[:, None]).to(tl.int32)
        others = _read_listed(scores, best, other, size)
        ahead += (others[None, :] > keys[:, None] - is_equal_in_front).to(tl.int32)
        place = tl.sum(ahead, 1)
        # 2. a place for each
        written = (slot < size) & (place < places)
        index = slot
        if best is not None:
            index = tl.load(best + k + slot, mask=written, other=0)
        tl.store(values + place, tl.load(scores + index, mask=written, other=0.0), mask=written)
        tl.store(indices + place, (start + index).to(tl.int64), mask=written)
    # 3. places of a segment that has fewer
    tl.store(values + slot, float("-inf"), mask=(slot >= places) & (slot < k))
    tl.store(indices + slot, -1, mask=(slot >= places) & (slot < k))


def top_k(scores: Tensor, sizes: Sequence[int], k: int) -> tuple[Tensor, Tensor]:
    """Return the k highest scores of each segment, best first, and their indices in the row, both [B, S, k].

    scores [B, A] float32: up to five segments of `sizes`, one after the other. Places of a segment that has fewer than
    k hold -infinity and index -1. Of equal scores the lower index comes first.
    """
    scores, batch, segments = scores.contiguous(), len(scores), len(sizes)
    values = torch.empty(batch, segments, k, dtype=torch.float32, device=scores.device)
    indices = torch.empty(batch, segments, k, dtype=torch.int64, device=scores.device)
    if not values.numel():
        return values, indices
    longest, chunks = max(sizes), triton.cdiv(max(sizes), CHUNK)
    numbers = (scores.shape[1], k, chunks, *sizes, *[0] * (MAX_SEGMENTS - segments))
    with torch.cuda.device_of(scores):
        best = None if longest <= DIRECT else _select(scores, numbers, (chunks, segments, batch))
        slots = max(k, longest) if best is None else k
        grid = (triton.cdiv(slots, RANKED), segments, batch)
        _rank[grid](scores, best, values, indices, *numbers, RANKED=RANKED, OTHERS=OTHERS, **EXACT)
    return values, indices


def _select(scores: Tensor, numbers: tuple[int, ...], grid: tuple[int, int, int]) -> Tensor:
    """Return keys and indices of the k highest scores of each segment, [B, S, 2, k] int32.

    Those above the k-th best come first, then its equals, each in the order of indices within the segment.
    """
    chunks, segments, batch = grid
    counts = scores.new_empty(2, batch, segments, chunks, BINS, dtype=torch.int32)
    states = scores.new_empty(batch, segments, chunks, 3, dtype=torch.int32)
    best = scores.new_empty(batch, segments, 2, numbers[1], dtype=torch.int32)
    sizes = {"CHUNK": CHUNK, "BINS": BINS, "TILE": TILE, "num_warps": WARPS}
    for turn, shift in enumerate((24, 16, 8, 0)):
        now, before = counts[turn % 2], counts[1 - turn % 2]
        _count[grid](scores, before, now, states, *numbers, SHIFT=shift, **sizes, **EXACT)
    _keep[grid](scores, counts[1], states, best, *numbers, **sizes, **EXACT)
    return best
