"""Shared by the Triton kernels of RoIAlign and RoIPool: pyramid levels as kernel arguments.

A kernel reads every level's map in place, channels last: up to five pointers with five heights and widths. A region
chooses among them by its level, so that one launch serves the pyramid: no packed map, no index list, no host sync.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from lineage.ops.fused_roi import MAX_LEVELS

SIZES = ["h0", "w0", "h1", "w1", "h2", "w2", "h3", "w3", "h4", "w4", "B"]  # numbers, not a kernel for each value
CHANNELS = 256  # channels of one program, at most: a warp then moves 16 bytes of bfloat16 per thread


@triton.jit
def select(level, a, b, c, d, e):  # type: ignore[no-untyped-def]
    """Return the argument of a level, 0 to 4: a pointer or a number."""
    value = a
    if level == 1:
        value = b
    if level == 2:
        value = c
    if level == 3:
        value = d
    if level == 4:
        value = e
    return value


@triton.jit
def first_pixel(level, image, B, h0, w0, h1, w1, h2, w2, h3, w3, h4, w4):  # type: ignore[no-untyped-def]
    """Return the place of an image's first pixel where all levels [B, h, w] lie one after the other."""
    a = h0 * w0
    b, c, d, e = h1 * w1, h2 * w2, h3 * w3, h4 * w4
    before = select(level, 0 * a, a, a + b, a + b + c, a + b + c + d).to(tl.int64) * B
    return before + select(level, a, b, c, d, e).to(tl.int64) * image


class Grid(NamedTuple):
    """Sizes of a pyramid: images, and (height, width) of each level."""

    images: int
    sides: tuple[tuple[int, int], ...]

    @property
    def pixels(self) -> int:
        return self.images * sum(height * width for height, width in self.sides)

    @property
    def arguments(self) -> list[int]:
        """Return h0, w0, ..., h4, w4; levels that do not exist repeat the last."""
        sides = [*self.sides, *[self.sides[-1]] * (MAX_LEVELS - len(self.sides))]
        return [extent for side in sides for extent in side]


def grid_of(maps: Sequence[Tensor]) -> Grid:
    """Return the sizes of maps [B, C, H, W]."""
    return Grid(maps[0].shape[0], tuple((level.shape[2], level.shape[3]) for level in maps))


def pointers(maps: Sequence[Tensor]) -> list[Tensor]:
    """Return five maps whose memory is [B, H, W, C]; levels that do not exist repeat the last."""
    dense = [level.contiguous(memory_format=torch.channels_last) for level in maps]
    return [*dense, *[dense[-1]] * (MAX_LEVELS - len(dense))]


def channel_block(channels: int) -> int:
    """Return the channels of one program, a power of 2."""
    return min(triton.next_power_of_2(channels), CHANNELS)
