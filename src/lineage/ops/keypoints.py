"""Keypoints as one-hot heatmaps and back: Mask R-CNN (arXiv:1703.06870), section 5.

A cell of a map stands for its centre (Heckbert, "What are the coordinates of a pixel?", 1990): encoding takes the cell
that a point falls into, decoding returns the centre of the highest one.
"""

from __future__ import annotations

import torch
from torch import Tensor

CUBIC = -0.75  # the kernel's parameter in torch, OpenCV and so in Detectron
MAX_ELEMENTS = 1 << 24  # of the resized maps of one image at once: 64 MB


def encode(points: Tensor, boxes: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return the cell of each keypoint in a map of size x size over its box, and where it lies inside.

    points [..., K, 3] (x, y, visibility), boxes [..., 4] -> cell [..., K] in 0..size^2 - 1, row by row; valid [..., K]
    """
    low, high = boxes[..., None, :2], boxes[..., None, 2:]
    cell = ((points[..., :2] - low) * (size / (high - low))).floor()
    cell = torch.where(points[..., :2] == high, size - 1, cell)  # a box includes its far border
    valid = ((cell >= 0) & (cell < size)).all(-1) & (points[..., 2] > 0)
    index = cell[..., 1] * size + cell[..., 0]
    return torch.where(valid, index, 0.0).long(), valid


def decode(maps: Tensor, boxes: Tensor, canvas: tuple[int, int]) -> Tensor:
    """Return the maximum of each map at image resolution, and its logit.

    maps [B, D, K, M, M] logits, boxes [B, D, 4] inside a canvas of (height, width) -> [B, D, K, 3] (x, y, logit)

    Detectron resizes each map to the whole pixels of its box by cubic interpolation. Boxes differ, shapes here do not:
    every map is resized as two products with matrices of the canvas' size, of which a small box uses the first rows.
    """
    chunk = max(1, MAX_ELEMENTS // (maps.shape[2] * canvas[0] * canvas[1]))
    chunks = zip(maps.split(chunk, 1), boxes.split(chunk, 1), strict=True)
    return torch.cat([_peaks(chunk_maps.float(), chunk_boxes, canvas) for chunk_maps, chunk_boxes in chunks], 1)


def _peaks(maps: Tensor, boxes: Tensor, canvas: tuple[int, int]) -> Tensor:
    # 1. resize every map to the whole pixels of its box, inside a canvas of fixed size
    extent = (boxes[..., 2:] - boxes[..., :2]).clamp(min=1)
    pixels = extent.ceil()
    columns = _cubic(maps.shape[-1], pixels[..., 0], canvas[1])[:, :, None]  # [B, D, 1, W, M]
    rows = _cubic(maps.shape[-1], pixels[..., 1], canvas[0])[:, :, None]
    with torch.autocast(maps.device.type, enabled=False):  # the position of a maximum needs all digits
        resized = rows.to(maps.dtype) @ maps @ columns.to(maps.dtype).transpose(-1, -2)  # [B, D, K, H, W]
    # 2. find the maximum inside the box
    inside_x = torch.arange(canvas[1], device=maps.device) < pixels[..., :1]
    inside_y = torch.arange(canvas[0], device=maps.device) < pixels[..., 1:]
    inside = (inside_y[..., :, None] & inside_x[..., None, :])[:, :, None]
    logit, index = resized.masked_fill(~inside, -torch.inf).flatten(3).max(-1)
    # 3. pixel centre -> canvas
    centre = torch.stack((index % canvas[1], index // canvas[1]), -1) + 0.5
    points = boxes[..., None, :2] + centre * (extent / pixels)[..., None, :]
    return torch.cat((points, logit[..., None]), -1)


def _cubic(size: int, pixels: Tensor, max_pixels: int) -> Tensor:
    """Return the weights [..., max_pixels, size] of cubic interpolation from `size` cells to `pixels` [...] pixels.

    Rows from `pixels` on are undefined. Beyond its border a map continues with its border cells.
    """
    position = (torch.arange(max_pixels, device=pixels.device) + 0.5) * (size / pixels[..., None]) - 0.5
    position = position.clamp(max=size)  # in undefined rows
    distance = (position[..., None] - torch.arange(-2, size + 2, device=pixels.device)).abs()
    inner = ((CUBIC + 2) * distance - (CUBIC + 3)) * distance**2 + 1
    outer = ((CUBIC * distance - 5 * CUBIC) * distance + 8 * CUBIC) * distance - 4 * CUBIC
    weights = torch.where(distance <= 1, inner, torch.where(distance < 2, outer, 0.0))
    first, last = weights[..., :3].sum(-1, keepdim=True), weights[..., -3:].sum(-1, keepdim=True)
    return torch.cat((first, weights[..., 3:-3], last), -1)
