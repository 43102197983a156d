"""The eight symmetries of the square, of images and of the motion vectors on them: quarter turns, mirrored or not."""

from __future__ import annotations

import torch
from torch import Tensor

SYMMETRIES = tuple((turns, mirrored) for mirrored in (False, True) for turns in range(4))


def apply_symmetry(images: Tensor, turns: int, mirrored: bool) -> Tensor:
    """Mirror images [..., H, W] left to right if `mirrored`, then turn them counterclockwise by quarters."""
    return (images.flip(-1) if mirrored else images).rot90(turns, (-2, -1))


def undo_symmetry(images: Tensor, turns: int, mirrored: bool) -> Tensor:
    """Return the images that `apply_symmetry` has turned and mirrored."""
    upright = images.rot90(-turns, (-2, -1))
    return upright.flip(-1) if mirrored else upright


def apply_symmetry_to_flow(flow: Tensor, turns: int, mirrored: bool) -> Tensor:
    """Move vectors (x, y) of a flow [..., 2, H, W] as `apply_symmetry` moves pixels, and mirror and turn each."""
    x, y = apply_symmetry(flow, turns, mirrored).unbind(-3)
    x = -x if mirrored else x
    for _ in range(turns % 4):  # counterclockwise on the screen, where y points down
        x, y = y, -x
    return torch.stack((x, y), -3)
