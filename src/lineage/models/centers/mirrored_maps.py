"""Flip test of CenterNet's code: the maps of an image and of its mirror image are averaged before they are decoded.

An image is mirrored within whole cells: its last columns are repeated up to a multiple of the stride, at most three, so
that cell c of one map is cell n - 1 - c of the other.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lineage.models.centers.center_head import CenterMaps
from lineage.models.centers.landmark_head import LandmarkMaps
from lineage.structures import Images


def mirror_images(images: Images, stride: int) -> tuple[Images, Tensor]:
    """Return the mirror images, and the columns [B] of each image's content on a map."""
    height, width = images.pixels.shape[-2:]
    columns = (images.sizes[:, 1] / stride).ceil()
    limit = torch.minimum(columns * stride, columns.new_tensor(float(width)))
    # 1. repeat the last row and column of the content, then mirror the columns
    row = torch.arange(height, device=columns.device).minimum(images.sizes[:, :1].long() - 1)
    column = (limit[:, None].long() - 1 - torch.arange(width, device=columns.device)).clamp(min=0)
    column = torch.minimum(column, images.sizes[:, 1:].long() - 1)
    pixels = images.pixels.gather(2, row[:, None, :, None].expand_as(images.pixels))
    pixels = pixels.gather(3, column[:, None, None, :].expand_as(images.pixels))
    # 2. the columns that were added are content here
    sizes = torch.stack((images.sizes[:, 0], limit), -1)
    return images._replace(pixels=pixels, sizes=sizes), columns.long()


def average_centers(plain: CenterMaps, mirrored: CenterMaps, columns: Tensor) -> CenterMaps:
    """Return the mean of heat and sizes; the offsets are those of the plain image."""
    heat, sizes = (mirror_map(maps, columns) for maps in (mirrored.heat, mirrored.sizes))
    return plain._replace(heat=(plain.heat + heat) / 2, sizes=(plain.sizes + sizes) / 2)


def average_landmarks(
    plain: LandmarkMaps, mirrored: LandmarkMaps, columns: Tensor, channels: Sequence[int]
) -> LandmarkMaps:
    """Return the mean of positions and heat. `channels`: the map that each becomes in a mirrored image.

    # deviates: CenterNet's code negates x of a position, which moves landmarks by 3/8 of a cell; mirrored within cells
    # it is 1 - x
    """
    order = torch.tensor(channels, device=columns.device)
    heat = mirror_map(mirrored.heat, columns)[:, order]
    points = mirror_map(mirrored.points, columns).unflatten(1, (-1, 2))[:, order]
    points = torch.stack((1 - points[:, :, 0], points[:, :, 1]), 2).flatten(1, 2)
    return plain._replace(heat=(plain.heat + heat) / 2, points=(plain.points + points) / 2)


def mirror_map(maps: Tensor, columns: Tensor) -> Tensor:
    """Mirror maps [B, C, H, W] within the first `columns` [B]."""
    order = (columns[:, None] - 1 - torch.arange(maps.shape[-1], device=maps.device)).clamp(min=0)
    return maps.gather(3, order[:, None, None, :].expand_as(maps))
