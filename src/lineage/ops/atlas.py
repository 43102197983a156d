"""One map of all pyramid levels, so that a kernel for one map serves a pyramid in one call, without index lists."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def pack(maps: Sequence[Tensor], rois: Tensor, level: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return one map and the regions [R, 5] moved to their level's place in it; a single map is returned as it is."""
    if len(maps) == 1 or level is None:
        return maps[0], rois
    packed, offsets = pack_levels(maps)
    x, y = torch.zeros_like(rois[:, 0]), torch.zeros_like(rois[:, 0])
    for index, (left, top) in enumerate(offsets):
        x, y = torch.where(level == index, left, x), torch.where(level == index, top, y)
    return packed, rois + torch.stack((torch.zeros_like(x), x, y, x, y), 1)


def pack_levels(maps: Sequence[Tensor]) -> tuple[Tensor, list[tuple[float, float]]]:
    """Pack all levels into one map (the finest left, the others stacked right); also return the (x, y) of each origin.

    One kernel call then serves every level, without index lists and without waiting for the device. Each level is
    padded with its own border pixels, which is what RoIAlign reads there, so the result equals level-wise calls.
    """
    padded = [F.pad(level, (1, 1, 1, 1), mode="replicate") for level in maps]
    column = torch.cat([F.pad(level, (0, padded[1].shape[3] - level.shape[3])) for level in padded[1:]], dim=2)
    height = max(padded[0].shape[2], column.shape[2])
    columns = [F.pad(x, (0, 0, 0, height - x.shape[2])) for x in (padded[0], column)]
    offsets, top = [(1.0, 1.0)], 1.0
    for level in padded[1:]:
        offsets.append((padded[0].shape[3] + 1.0, top))
        top += level.shape[2]
    return torch.cat(columns, dim=3), offsets
