"""Refinement of landmarks by their heat maps: CenterNet (arXiv:1904.07850), section 5.2 and `multi_pose_decode`."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lineage.models.centers.heatmap import gather_cells, keep_peaks


class Peaks(NamedTuple):
    """The P highest peaks of each landmark map."""

    points: Tensor  # [B, J, P, 2] (x, y) in cells
    scores: Tensor  # [B, J, P]

    @classmethod
    def find(cls, heat: Tensor, offsets: Tensor, count: int) -> Peaks:
        """Find the peaks of probabilities [B, J, H, W]; `offsets` [B, 2, H, W] of points within their cells."""
        width = heat.shape[-1]
        flat = keep_peaks(heat).flatten(2)
        scores, index = flat.topk(min(count, flat.shape[-1]))
        corner = torch.stack((index % width, index // width), -1)
        return cls(corner + gather_cells(offsets, index.flatten(1)).view_as(corner), scores)


def refine(
    points: Tensor, boxes: Tensor, peaks: Peaks, channels: Tensor, *, min_score: float, max_distance: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Move each landmark to the nearest peak of its map -> points [B, D, L, 2], scores of the peaks and whether moved.

    points    [B, D, L, 2] as regressed, in cells
    boxes     [B, D, 4] of the detections, in cells
    channels  [B, D, L] the map of each landmark

    A landmark stays if no peak is above `min_score`, or if the nearest of those lies outside its box, or further away
    than `max_distance` of the longer side of the box.
    """
    batch, detections, landmarks = channels.shape
    flat = channels.flatten(1)
    size = peaks.scores.shape[-1]
    scores = peaks.scores.gather(1, flat[..., None].expand(-1, -1, size)).view(batch, detections, landmarks, size)
    places = peaks.points.gather(1, flat[..., None, None].expand(-1, -1, size, 2))
    places = places.view(batch, detections, landmarks, size, 2)
    distance = (places - points[..., None, :]).pow(2).sum(-1).sqrt()
    distance, nearest = distance.masked_fill(scores <= min_score, torch.inf).min(-1)
    place = places.gather(3, nearest[..., None, None].expand(-1, -1, -1, 1, 2))[..., 0, :]
    low, high = boxes[:, :, None, :2], boxes[:, :, None, 2:]
    limit = max_distance * (high - low).amax(-1)
    accepted = ((place >= low) & (place <= high)).all(-1) & (distance <= limit)
    score = scores.gather(3, nearest[..., None])[..., 0]
    return torch.where(accepted[..., None], place, points), score, accepted


def read_heat(heat: Tensor, points: Tensor, channels: Tensor) -> Tensor:
    """Return the heat [B, J, H, W] of map `channels` [B, D, L] in the cell of each point [B, D, L, 2] -> [B, D, L]"""
    height, width = heat.shape[-2:]
    column = points[..., 0].floor().clamp(0, width - 1).long()
    row = points[..., 1].floor().clamp(0, height - 1).long()
    index = (channels * height + row) * width + column
    return heat.flatten(1).gather(1, index.flatten(1)).view_as(index)
