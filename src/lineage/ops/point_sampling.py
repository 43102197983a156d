"""Points in place of grids: PointRend (arXiv:1912.08193), section 3. All are continuous pixels of the canvas.

Beyond a map's border there is zero, as in Detectron2.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def centres(size: int, device: torch.device) -> Tensor:
    """The middles of size x size cells of a unit square, row by row: [size^2, 2] (x, y)"""
    middle = (torch.arange(size, device=device) + 0.5) / size
    y, x = torch.meshgrid(middle, middle, indexing="ij")
    return torch.stack((x, y), -1).flatten(0, 1)


def inside(boxes: Tensor, places: Tensor) -> Tensor:
    """Places [..., P, 2] in 0..1 across each of boxes [..., 4] -> points [..., P, 2]"""
    low, high = boxes[..., None, :2], boxes[..., None, 2:]
    return low + places * (high - low)


def sample(maps: Tensor, points: Tensor, extent: tuple[float, float]) -> Tensor:
    """Bilinear values: maps [B, C, H, W] over an extent of (width, height), points [B, P, 2] in it -> [B, P, C]"""
    scale = torch.tensor(extent, device=points.device, dtype=points.dtype)
    grid = (2 * points / scale - 1)[:, :, None].to(maps.dtype)
    return F.grid_sample(maps, grid, align_corners=False)[..., 0].transpose(1, 2)
