"""Targets of landmarks: CenterNet (arXiv:1904.07850), section 5.2 and its code. Positions are in cells of the map."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lineage.models.centers.center_targets import CenterTargets
from lineage.models.centers.heatmap import splat
from lineage.ops.boxes import take


class LandmarkTargets(NamedTuple):
    """The landmarks of the objects of a batch, those of each object's class; `labelled` ones are learned."""

    points: Tensor  # [B, G, L, 2] from the centre's cell to the landmark
    offsets: Tensor  # [B, G, L, 2] from the corner of the landmark's cell, in 0..1
    cells: Tensor  # [B, G, L, 2] int64 (x, y)
    channels: Tensor  # [B, G, L] int64 the map of each
    labelled: Tensor  # [B, G, L] bool: visible or hidden, and inside the map

    def cell_index(self, width: int) -> Tensor:
        """Return the cells, counted row by row: [B, G, L]"""
        return self.cells[..., 1] * width + self.cells[..., 0]


def encode_landmarks(
    keypoints: Tensor, centers: CenterTargets, slots: Tensor, channels: Tensor, *, stride: int, size: tuple[int, int]
) -> LandmarkTargets:
    """Return the landmarks of objects on a map of `size` (height, width).

    keypoints        [B, G, K, 3] (x, y, visibility) of the dataset
    slots, channels  [B, G, L]: the keypoints of each object's class, -1 for padding, and their maps

    # deviates: CenterNet's code ignores the boxes of objects without a labelled landmark; here they are learned
    """
    values = keypoints.gather(2, slots.clamp(min=0)[..., None].expand(-1, -1, -1, 3))
    points = values[..., :2] / stride
    limit = points.new_tensor([size[1], size[0]])
    inside = ((points >= 0) & (points < limit)).all(-1)
    labelled = (values[..., 2] > 0) & inside & (slots >= 0) & centers.positive[..., None]
    cells = torch.minimum(points.floor().clamp(min=0), limit - 1).long()
    return LandmarkTargets(points - centers.cells[:, :, None], points - cells, cells, channels, labelled)


def draw_landmarks(landmarks: LandmarkTargets, radius: Tensor, *, num_maps: int, size: tuple[int, int]) -> Tensor:
    """Return the heat maps [B, maps, H, W]; each landmark has the radius of its object, [B, G]."""
    spread = radius[..., None].expand_as(landmarks.channels)
    fields = (landmarks.cells, spread, landmarks.channels, landmarks.labelled)
    cells, spread, channels, labelled = (field.flatten(1, 2) for field in fields)
    return splat(cells, spread, channels, labelled, channels=num_maps, size=size)


def take_rows(table: Tensor, labels: Tensor) -> Tensor:
    """Return rows of a table [C, L] by labels [B, N] -> [B, N, L]"""
    return take(table.expand(labels.shape[0], -1, -1), labels)
