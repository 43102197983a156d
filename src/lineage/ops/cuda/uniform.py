"""The CUDA kernel of ops.random.uniform: the same bits, mixed in registers."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from lineage.ops.layers.kernels import EXACT

BLOCK = 1024  # numbers per program


@triton.jit
def _mix(x):  # type: ignore[no-untyped-def]
    x = (x ^ (x >> 16)) * 0x7FEB352D  # unsigned, so that a product wraps at 2^32
    x = (x ^ (x >> 15)) * 0x846CA68B
    return x ^ (x >> 16)


@triton.jit
def draw(keys, row, salt, index):  # type: ignore[no-untyped-def]
    """Return the numbers of a key at these indices."""
    key = tl.load(keys + row)
    stream = _mix(key.to(tl.uint32) ^ _mix((key >> 32).to(tl.uint32) + salt.to(tl.uint32) * 0x9E3779B9))
    bits = _mix(_mix(stream ^ (index.to(tl.uint32) * 0x9E3779B9)) + stream)
    return (bits >> 8).to(tl.float32) * 5.9604644775390625e-08  # 2^-24


@triton.jit(do_not_specialize=["salt", "count"])
def _uniform(keys, out, salt, count, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    row = tl.program_id(1).to(tl.int64)
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + row * count + index, draw(keys, row, salt, index), mask=index < count)


def uniform(rng_keys: Tensor, salt: int, n: int) -> Tensor:
    """Return n numbers in [0, 1) per key: [B] int64 -> [B, n] float32."""
    out = torch.empty(len(rng_keys), n, dtype=torch.float32, device=rng_keys.device)
    with torch.cuda.device_of(out):
        _uniform[triton.cdiv(n, BLOCK), len(rng_keys)](rng_keys.contiguous(), out, salt, n, BLOCK=BLOCK, **EXACT)
    return out
