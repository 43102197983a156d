"""Random numbers that depend on what they are for, not on who asked before.

A counter-based generator: `uniform(keys, salt, n)` is a pure function, so sampling is the same on 1 or 8 processes, in
any batch, before and after a resume, and costs no generator state and no host sync. The mixing function is lowbias32
(C. Wellons, "Prospecting for hash functions", 2018).
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor


def key(*parts: int | str) -> int:
    """Name a random stream by what it belongs to, e.g. key(seed, step, image id): an int in [0, 2^63)."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def _mix(x: Tensor) -> Tensor:
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & 0xFFFFFFFF
    x = ((x ^ (x >> 15)) * 0x846CA68B) & 0xFFFFFFFF
    return x ^ (x >> 16)


def uniform(keys: Tensor, salt: int, n: int) -> Tensor:
    """n numbers in [0, 1) for each stream: keys [B] int64 -> [B, n] float32. `salt` separates two uses of one key."""
    stream = _mix((keys & 0xFFFFFFFF) ^ _mix((keys >> 32) + salt * 0x9E3779B9 & 0xFFFFFFFF))
    counter = torch.arange(n, device=keys.device)
    bits = _mix(_mix(stream[:, None] ^ (counter * 0x9E3779B9 & 0xFFFFFFFF)) + stream[:, None] & 0xFFFFFFFF)
    return (bits >> 8).float() * 2.0**-24  # 24 bits are what float32 holds exactly
