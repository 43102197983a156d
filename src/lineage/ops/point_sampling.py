"""Points instead of grids: PointRend (arXiv:1912.08193), section 3. Points are in continuous canvas pixels.

Maps are zero beyond their border, as in Detectron2.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def cell_centres(size: int, device: torch.device) -> Tensor:
    """Return the centres of size x size cells of the unit square, row by row: [size^2, 2] (x, y)"""
    centre = (torch.arange(size, device=device) + 0.5) / size
    y, x = torch.meshgrid(centre, centre, indexing="ij")
    return torch.stack((x, y), -1).flatten(0, 1)


def to_canvas(boxes: Tensor, relative: Tensor) -> Tensor:
    """Convert positions [..., P, 2] in 0..1 relative to boxes [..., 4] into canvas points [..., P, 2]."""
    low, high = boxes[..., None, :2], boxes[..., None, 2:]
    return low + relative * (high - low)


def sample(maps: Tensor, points: Tensor, extent: tuple[float, float]) -> Tensor:
    """Return bilinear values of maps [B, C, H, W] that cover `extent` (width, height) at points [B, P, 2]: [B, P, C]"""
    scale = torch.stack([points.new_full((), side) for side in extent])  # filled on the device: nothing is waited for
    grid = (2 * points / scale - 1)[:, :, None].to(maps.dtype)
    return F.grid_sample(maps, grid, align_corners=False)[..., 0].transpose(1, 2)
