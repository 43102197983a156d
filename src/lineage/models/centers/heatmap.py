"""Heat maps of points: CornerNet (arXiv:1808.01244, section 3.1) and CenterNet (arXiv:1904.07850, section 3).

A point is a Gaussian around its cell, in a window of a radius; where Gaussians overlap, the larger value counts.
Positions are in cells: cell i covers [i, i + 1).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

MAX_ELEMENTS = 1 << 22  # of the Gaussians of a batch at once: 16 MB
RADII = ("coded", "geometric")


def gaussian_radius(sizes: Tensor, *, min_overlap: float, kind: str) -> Tensor:
    """Return the radius of the Gaussian of boxes of `sizes` [..., 2] (width, height) -> [...], not yet rounded.

    A box whose corners move by the radius shall still overlap with an IoU of `min_overlap`: both corners inwards, both
    outwards, or one each; each case is a quadratic equation. "geometric" solves them. "coded" is what CornerNet,
    CenterNet and all that copy it compute, 3.3 times as much: the larger root, and not divided by 2a.
    """
    if kind not in RADII:
        raise ValueError(f"model.head.radius={kind} is unknown; choose one of {', '.join(RADII)}")
    width, height = sizes.unbind(-1)
    total, area = width + height, width * height
    # a r^2 - b r + c = 0: the smaller root where corners move inwards, else the only positive one
    cases = (
        (1.0, total, area * (1 - min_overlap) / (1 + min_overlap), -1),  # one corner inwards, the other outwards
        (4.0, 2 * total, area * (1 - min_overlap), -1),  # both inwards
        (4 * min_overlap, -2 * min_overlap * total, area * (min_overlap - 1), 1),  # both outwards
    )
    roots = []
    for a, b, c, sign in cases:
        root = (b**2 - 4 * a * c).sqrt()
        roots.append((b + root) / 2 if kind == "coded" else (b + sign * root) / (2 * a))
    return torch.stack(roots).amin(0)


def splat(
    cells: Tensor, radius: Tensor, channel: Tensor, valid: Tensor, *, channels: int, size: tuple[int, int]
) -> Tensor:
    """Return maps [B, channels, H, W] of Gaussians around points; exactly 1 in the cell of each.

    cells    [B, N, 2] (x, y) whole numbers
    radius   [B, N] whole numbers: half the window, without its centre; the deviation is a sixth of the window
    channel  [B, N] int64: the map of each point
    valid    [B, N] bool
    """
    height, width = size
    if cells.device.type == "cpu" and not torch.compiler.is_compiling():  # where reading a value is free
        filled = valid.any(0)
        cells, radius, channel, valid = (field[:, filled] for field in (cells, radius, channel, valid))
    maps = torch.zeros(len(cells), channels, height * width, device=cells.device)
    step = max(1, MAX_ELEMENTS // (len(cells) * height * width))
    for start in range(0, cells.shape[1], step):
        part = slice(start, start + step)
        rows = _gaussian(cells[:, part, 1], radius[:, part], height) * valid[:, part, None]
        columns = _gaussian(cells[:, part, 0], radius[:, part], width)
        values = (rows[..., :, None] * columns[..., None, :]).flatten(2)  # [B, step, H * W]
        maps.scatter_reduce_(1, channel[:, part, None].expand_as(values), values, "amax")
    return maps.view(len(cells), channels, height, width)


def _gaussian(center: Tensor, radius: Tensor, length: int) -> Tensor:
    """Return a Gaussian along one side: center and radius [B, N] -> [B, N, length], 0 outside the window."""
    distance = torch.arange(length, device=center.device) - center[..., None]
    sigma = ((2 * radius + 1) / 6)[..., None]
    return torch.exp(-(distance**2) / (2 * sigma**2)) * (distance.abs() <= radius[..., None])


def keep_peaks(heat: Tensor) -> Tensor:
    """Set every cell to 0 that is smaller than one of its eight neighbours: [B, C, H, W] -> the same shape."""
    return heat * (F.max_pool2d(heat, 3, stride=1, padding=1) == heat)


def gather_cells(maps: Tensor, index: Tensor) -> Tensor:
    """Return the values of maps [B, C, H, W] in cells `index` [B, N], counted row by row -> [B, N, C]"""
    return maps.flatten(2).gather(2, index[:, None].expand(-1, maps.shape[1], -1)).transpose(1, 2)
