"""Backward warping: an image is sampled where the pixels of another one come from."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def warp_backward(images: Tensor, flow: Tensor) -> Tensor:
    """Return images [B, C, H, W] sampled at each pixel plus its flow [B, 2, H, W] (x, y) in pixels.

    Samples are bilinear; those beyond the border are of the border. Pixel centres at the corners of the image are the
    corners of the grid (align_corners=True, the default of torch 1.0 and an option since), so a flow of whole pixels
    moves pixels unchanged.
    """
    height, width = images.shape[-2:]
    columns = torch.arange(width, device=flow.device, dtype=flow.dtype)
    rows = torch.arange(height, device=flow.device, dtype=flow.dtype)[:, None]
    x = (columns + flow[:, 0]) * (2 / max(width - 1, 1)) - 1
    y = (rows + flow[:, 1]) * (2 / max(height - 1, 1)) - 1
    grid = torch.stack((x, y), -1)
    return F.grid_sample(images, grid.to(images.dtype), mode="bilinear", padding_mode="border", align_corners=True)
