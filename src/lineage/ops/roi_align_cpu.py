"""RoIAlign on a CPU, where torchvision's kernel is slow in the backward pass, the costliest operation of a step.

A bin is a weighted sum of pixels, so here all bins are bags of `embedding_bag`, which reads whole rows of channels:
equal up to rounding, and forward plus backward 4 to 8 times faster. The rows are the pixels of all levels, one after
the other, in one table; heads that pool from the same maps share it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary


class Memo(NamedTuple):
    """A table, and all that it was made from beside the finest map, its key."""

    coarser: tuple[Tensor, ...]
    versions: tuple[int, ...]  # of the maps: in-place operations raise them
    has_gradient: bool
    table: Tensor


_memos: WeakIdKeyDictionary = WeakIdKeyDictionary()  # finest map -> Memo, for as long as the map lives


def roi_align_bags(
    maps: Sequence[Tensor], rois: Tensor, level: Tensor | None, size: int, sampling_ratio: int, aligned: bool
) -> Tensor:
    """Compute what ops.roi_align.roi_align does as sums of pixels: a bin is a bag of 4 * sampling_ratio^2."""
    exact = torch.promote_types(maps[0].dtype, torch.float32)  # as torchvision's: half precision is too coarse
    image = rois[:, 0].int()
    corners = rois[:, 1:].to(exact) - (0.5 if aligned else 0.0)
    # 1. the place of each region's map in the table
    first, height, width = _locate(maps, image, level)
    # 2. the pixels of each bin and their weights
    x, along_x = _samples(corners[:, 0], corners[:, 2], width, size, sampling_ratio, aligned)
    y, along_y = _samples(corners[:, 1], corners[:, 3], height, size, sampling_ratio, aligned)
    row = first[:, None, None] + y * width[:, None, None]
    pixel = row[:, :, None, :, None] + x[:, None, :, None, :]  # [R, size, size, 2 sampling_ratio, 2 sampling_ratio]
    weight = along_y[:, :, None, :, None] * along_x[:, None, :, None, :]
    # 3. their sums
    bags, weights = (field.reshape(-1, 4 * sampling_ratio**2) for field in (pixel, weight))
    bins = F.embedding_bag(bags, share_table(maps), per_sample_weights=weights, mode="sum")
    return bins.view(-1, size, size, bins.shape[1]).permute(0, 3, 1, 2).to(maps[0].dtype)


def share_table(maps: Sequence[Tensor]) -> Tensor:
    """Return the table of the maps, the one that an earlier call made if they are the same maps."""
    if torch.compiler.is_compiling():
        return make_table(maps)
    finest, *coarser = maps
    versions = () if torch.is_inference_mode_enabled() else tuple(level._version for level in maps)
    has_gradient = torch.is_grad_enabled() and any(level.requires_grad for level in maps)
    memo: Memo | None = _memos.get(finest)
    if (
        memo is None
        or (memo.versions, memo.has_gradient, len(memo.coarser)) != (versions, has_gradient, len(coarser))
        or any(level is not other for level, other in zip(memo.coarser, coarser, strict=True))
    ):
        memo = _memos[finest] = Memo(tuple(coarser), versions, has_gradient, make_table(maps))
    return memo.table


def make_table(maps: Sequence[Tensor]) -> Tensor:
    """Return the pixels of maps [B, C, H, W], level by level and image by image, [sum of B H W, C] in float32 or more.

    Of channels_last maps this is one copy.
    """
    exact = torch.promote_types(maps[0].dtype, torch.float32)
    rows = [level.to(exact).permute(0, 2, 3, 1).flatten(0, 2) for level in maps]
    # of a single image the flat map would be a view, whose scattered channels embedding_bag reads 15 times slower
    return torch.cat(rows) if len(rows) > 1 else rows[0].contiguous()


def _locate(maps: Sequence[Tensor], image: Tensor, level: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Return of each region's map the row of its first pixel in the table, the height and the width: three of [R]."""
    rows, start = [], 0
    for features in maps:
        height, width = features.shape[2:]
        rows.append([start, height, width])
        start += len(features) * height * width
    places = torch.tensor(rows, dtype=torch.int32, device=image.device)  # [levels, 3] start, height, width
    place = places[0].expand(len(image), 3) if level is None else places[level]
    first, heights, widths = place.unbind(1)
    return first + image * (heights * widths), heights, widths


def _samples(
    low: Tensor, high: Tensor, extent: Tensor, size: int, sampling_ratio: int, aligned: bool
) -> tuple[Tensor, Tensor]:
    """Return the pixels of each bin along one axis, [R, size, 2 sampling_ratio] int32, and their weights (sum 1).

    extent: [R] number of pixels of each region's map along the axis.
    """
    length = high - low if aligned else (high - low).clamp(min=1)
    step = (torch.arange(size * sampling_ratio, device=low.device, dtype=low.dtype) + 0.5) / (size * sampling_ratio)
    position = low[:, None] + step * length[:, None]
    last = (extent[:, None] - 1).to(low.dtype)
    inside = ((position >= -1) & (position <= last + 1)) / sampling_ratio
    position = torch.minimum(position.clamp(min=0), last)
    before = position.nan_to_num(
        0.0
    ).floor()  # a diverged network has boxes of NaN: a pixel that exists, a weight of NaN
    fraction = position - before
    pixels = torch.stack((before, torch.minimum(before + 1, last)), -1).int()
    weights = torch.stack((1 - fraction, fraction), -1) * inside[..., None]
    return pixels.view(-1, size, 2 * sampling_ratio), weights.view(-1, size, 2 * sampling_ratio)
