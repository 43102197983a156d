"""Counter-based random numbers: pure functions of a key, without generator state.

Sampling is therefore the same on 1 or 8 processes, in any batch, before and after a resume, and needs no host sync.
The mixing function is lowbias32 (C. Wellons, "Prospecting for hash functions", 2018).
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from lineage.ops.layers.kernels import runs_triton


def fold_in(*parts: int | str) -> int:
    """Return the key of a random stream, an int in [0, 2^63), e.g. fold_in(seed, step, image_id)."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def _mix(x: Tensor) -> Tensor:
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & 0xFFFFFFFF
    x = ((x ^ (x >> 15)) * 0x846CA68B) & 0xFFFFFFFF
    return x ^ (x >> 16)


def uniform(rng_keys: Tensor, salt: int, n: int) -> Tensor:
    """Return n numbers in [0, 1) per key, [B] int64 -> [B, n] float32; `salt` separates two uses of one key."""
    if runs_triton(rng_keys):
        from lineage.ops.cuda import uniform as kernel  # Triton loads only where there is a GPU

        return kernel.uniform(rng_keys, salt, n)
    stream = _mix((rng_keys & 0xFFFFFFFF) ^ _mix((rng_keys >> 32) + salt * 0x9E3779B9 & 0xFFFFFFFF))
    counter = torch.arange(n, device=rng_keys.device)
    bits = _mix(_mix(stream[:, None] ^ (counter * 0x9E3779B9 & 0xFFFFFFFF)) + stream[:, None] & 0xFFFFFFFF)
    return (bits >> 8).float() * 2.0**-24  # 24 bits are what float32 holds exactly
