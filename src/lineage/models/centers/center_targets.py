"""Targets of centres: CenterNet (arXiv:1904.07850), section 3 and its code. All positions are in cells of the map."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lineage.models.centers.heatmap import gaussian_radius, splat
from lineage.structures import Targets

IGNORED = 0.9999  # a target that is no positive, and whose weight as a negative is 0


class CenterTargets(NamedTuple):
    """The objects of a batch as points; `positive` ones are learned, the others are empty slots, crowds or cut off."""

    cells: Tensor  # [B, G, 2] int64 (x, y) of the centre's cell
    cell_index: Tensor  # [B, G] int64: the cell, counted row by row
    offsets: Tensor  # [B, G, 2] from the cell's corner to the centre, in 0..1
    sizes: Tensor  # [B, G, 2] (width, height)
    radius: Tensor  # [B, G] of the Gaussian, a whole number
    positive: Tensor  # [B, G] bool


def encode_centers(
    targets: Targets, *, stride: int, size: tuple[int, int], min_overlap: float, radius: str
) -> CenterTargets:
    """Return the centres of objects on a map of `size` (height, width).

    # deviates: CenterNet learns crowds as objects; here they are none, and no negatives either (see draw_centers)
    """
    height, width = size
    limit = targets.boxes.new_tensor([width, height, width, height])
    boxes = torch.minimum((targets.boxes / stride).clamp(min=0), limit)
    sizes = boxes[..., 2:] - boxes[..., :2]
    centers = (boxes[..., :2] + boxes[..., 2:]) / 2
    cells = torch.minimum(centers.floor(), limit[:2] - 1).long()
    rounded = gaussian_radius(sizes.ceil(), min_overlap=min_overlap, kind=radius).floor().clamp(min=0)
    positive = targets.valid & ~targets.crowd & (sizes > 0).all(-1)
    index = cells[..., 1] * width + cells[..., 0]
    return CenterTargets(cells, index, centers - cells, sizes, rounded, positive)


def draw_centers(centers: CenterTargets, targets: Targets, *, num_classes: int, size: tuple[int, int]) -> Tensor:
    """Return the heat maps [B, C, H, W] of the centres; below 1 in the cell of a crowd, so that it is no positive."""

    def draw(chosen: Tensor) -> Tensor:
        return splat(centers.cells, centers.radius, targets.labels, chosen, channels=num_classes, size=size)

    return torch.maximum(draw(centers.positive), IGNORED * draw(targets.valid & targets.crowd))


def object_weights(centers: CenterTargets, targets: Targets) -> Tensor:
    """Return the loss weight of each object [B, G], 0 where there is none to learn."""
    if targets.object_weights is None:
        return centers.positive.float()
    return centers.positive * targets.object_weights


def weigh_positives(heat: Tensor, channel: Tensor, index: Tensor, weights: Tensor) -> Tensor:
    """Return the loss weight of each cell of `heat` [B, C, H, W]: the largest of its points, 1 where there is none.

    channel, index, weights: [B, N] the map, the cell counted row by row, and the weight of each point.
    """
    place = channel * heat[0, 0].numel() + index
    largest = torch.zeros_like(heat).flatten(1).scatter_reduce(1, place, weights.to(heat.dtype), "amax")
    return torch.where(heat == 1, largest.view_as(heat), 1.0)


def count_shared_cells(centers: CenterTargets) -> Tensor:
    """Return how many objects have the centre cell of an earlier object of their image, whatever its class: []"""
    same = (centers.cell_index[:, :, None] == centers.cell_index[:, None, :]) & centers.positive[:, None, :]
    earlier = same.tril(-1).any(-1)
    return (earlier & centers.positive).sum()
