"""The CUDA kernels of ops.matching.subsample: foreground and background are drawn by one ranking of two segments."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from lineage.ops.cuda.top_k import top_k
from lineage.ops.cuda.uniform import draw
from lineage.ops.layers.kernels import EXACT

BLOCK = 1024  # regions per program


@triton.jit(do_not_specialize=["salt", "count"])
def _offer(keys, foreground, background, offers, salt, count, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """Write a random number for each region to the offers of its kind, [B, 2, N]; -1 to those of the other kind."""
    row = tl.program_id(1).to(tl.int64)
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    numbers = draw(keys, row, salt, index)
    is_foreground = tl.load(foreground + row * count + index, mask=index < count, other=0) != 0
    is_background = tl.load(background + row * count + index, mask=index < count, other=0) != 0
    place = offers + row * 2 * count + index
    tl.store(place, tl.where(is_foreground, numbers, -1.0), mask=index < count)
    tl.store(place + count, tl.where(is_background & ~is_foreground, numbers, -1.0), mask=index < count)


@triton.jit(do_not_specialize=["k", "quota", "count"])
def _join(numbers, drawn, slots, valid, foreground, k, quota, count, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """Write up to `quota` foreground regions, then background."""
    row = tl.program_id(0).to(tl.int64)
    numbers, drawn = numbers + row * 2 * k, drawn + row * 2 * k
    slot = tl.arange(0, BLOCK)
    positive = tl.sum((tl.load(numbers + slot, mask=slot < tl.minimum(k, quota), other=-1.0) >= 0).to(tl.int32), 0)
    is_foreground = slot < positive
    place = tl.where(is_foreground, slot, k + slot - positive)
    number = tl.load(numbers + place, mask=slot < k, other=-1.0)
    region = tl.load(drawn + place, mask=slot < k, other=0)
    tl.store(slots + row * k + slot, tl.where(is_foreground, region, region - count), mask=slot < k)
    tl.store(valid + row * k + slot, number >= 0, mask=slot < k)
    tl.store(foreground + row * k + slot, is_foreground, mask=slot < k)


def subsample(
    foreground: Tensor, background: Tensor, rng_keys: Tensor, salt: int, count: int, quota: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the three fields of ops.matching.Subset, [B, M], from foreground and background [B, N] bool.

    quota: the most foreground regions. Slots that are not valid hold any region.
    """
    batch, regions = foreground.shape
    k, device = min(count, regions), foreground.device
    offers = torch.empty(batch, 2 * regions, device=device)
    slots = torch.empty(batch, k, dtype=torch.int64, device=device)
    valid, is_foreground = (torch.empty(batch, k, dtype=torch.bool, device=device) for _ in range(2))
    if not slots.numel():
        return slots, valid, is_foreground
    with torch.cuda.device_of(offers):
        _offer[triton.cdiv(regions, BLOCK), batch](
            rng_keys.contiguous(), foreground.contiguous(), background.contiguous(), offers, salt, regions,
            BLOCK=BLOCK, **EXACT,
        )  # fmt: skip
        numbers, drawn = top_k(offers, (regions, regions), k)
        block = triton.next_power_of_2(k)
        _join[(batch,)](numbers, drawn, slots, valid, is_foreground, k, quota, regions, BLOCK=block, **EXACT)
    return slots, valid, is_foreground
