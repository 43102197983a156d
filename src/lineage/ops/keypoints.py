"""Keypoints as one-hot heatmaps and back: Mask R-CNN (arXiv:1703.06870), section 5.

A cell of a map stands for its centre (Heckbert, "What are the coordinates of a pixel?", 1990): encoding takes the cell
that a point falls into, decoding answers with the middle of the highest one.
"""

from __future__ import annotations

import torch
from torch import Tensor

CUBIC = -0.75  # the kernel's parameter in torch, OpenCV and so in Detectron
MOST = 1 << 24  # elements of the resized maps of one image held at once: 64 MB


def encode(points: Tensor, boxes: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The cell of each keypoint in a map of size x size over its box, and whether there is one.

    points [..., K, 3] (x, y, visibility), boxes [..., 4] -> cell [..., K] in 0..size^2 - 1, row by row; valid [..., K]
    """
    low, high = boxes[..., None, :2], boxes[..., None, 2:]
    cell = ((points[..., :2] - low) * (size / (high - low))).floor()
    cell = torch.where(points[..., :2] == high, size - 1, cell)  # a box includes its far border
    valid = ((cell >= 0) & (cell < size)).all(-1) & (points[..., 2] > 0)
    index = cell[..., 1] * size + cell[..., 0]
    return torch.where(valid, index, 0.0).long(), valid


def decode(maps: Tensor, boxes: Tensor, canvas: tuple[int, int]) -> Tensor:
    """Where each map is highest once it has the resolution of the image, and how high.

    maps [B, D, K, M, M] logits, boxes [B, D, 4] inside a canvas of (height, width) -> [B, D, K, 3] (x, y, logit)

    Detectron resizes each map to the whole pixels of its box by cubic interpolation. Boxes differ, shapes here do not:
    every map is resized as two products with matrices of the canvas' size, of which a small box uses the first rows.
    """
    slots = max(1, MOST // (maps.shape[2] * canvas[0] * canvas[1]))
    parts = zip(maps.split(slots, 1), boxes.split(slots, 1), strict=True)
    return torch.cat([_peaks(part.float(), region, canvas) for part, region in parts], 1)


def _peaks(maps: Tensor, boxes: Tensor, canvas: tuple[int, int]) -> Tensor:
    extent = (boxes[..., 2:] - boxes[..., :2]).clamp(min=1)
    pixels = extent.ceil()
    columns = _cubic(maps.shape[-1], pixels[..., 0], canvas[1])[:, :, None]  # [B, D, 1, W, M]
    rows = _cubic(maps.shape[-1], pixels[..., 1], canvas[0])[:, :, None]
    with torch.autocast(maps.device.type, enabled=False):  # the place of a maximum needs all digits
        fine = rows @ maps @ columns.transpose(-1, -2)  # [B, D, K, H, W]
    wide = torch.arange(canvas[1], device=maps.device) < pixels[..., :1]
    tall = torch.arange(canvas[0], device=maps.device) < pixels[..., 1:]
    inside = (tall[..., :, None] & wide[..., None, :])[:, :, None]
    height, index = fine.masked_fill(~inside, -torch.inf).flatten(3).max(-1)
    at = torch.stack((index % canvas[1], index // canvas[1]), -1) + 0.5
    place = boxes[..., None, :2] + at * (extent / pixels)[..., None, :]
    return torch.cat((place, height[..., None]), -1)


def _cubic(size: int, pixels: Tensor, most: int) -> Tensor:
    """What each of `size` cells adds to each pixel when they are resized to `pixels` [...]: [..., most, size].

    Rows from `pixels` on mean nothing. Beyond its border a map continues with its border cells.
    """
    place = (torch.arange(most, device=pixels.device) + 0.5) * (size / pixels[..., None]) - 0.5
    place = place.clamp(max=size)  # of the rows that mean nothing
    away = (place[..., None] - torch.arange(-2, size + 2, device=pixels.device)).abs()
    near = ((CUBIC + 2) * away - (CUBIC + 3)) * away**2 + 1
    far = ((CUBIC * away - 5 * CUBIC) * away + 8 * CUBIC) * away - 4 * CUBIC
    share = torch.where(away <= 1, near, torch.where(away < 2, far, 0.0))
    first, last = share[..., :3].sum(-1, keepdim=True), share[..., -3:].sum(-1, keepdim=True)
    return torch.cat((first, share[..., 3:-3], last), -1)
