"""Maps without information, which every method has to beat."""

from __future__ import annotations

import torch
from torch import Tensor

from lineage.explain.scalar_output import ScalarOutput


def draw_noise(output: ScalarOutput) -> Tensor:
    """Return uniform noise [H, W], which depends on the sum of the pixels alone."""
    generator = torch.Generator().manual_seed(int(output.pixels.sum()))
    return torch.rand(output.pixels.shape[-2:], generator=generator)


def measure_closeness(output: ScalarOutput) -> Tensor:
    """Return a map [H, W] that falls from 1 at the centre of the image to 0 at its corners: objects lie in the middle.

    It stays 0 in the padding of a canvas.
    """
    height, width = output.size
    rows, columns = (torch.arange(side) + 0.5 for side in output.pixels.shape[-2:])
    distance = ((2 * rows / height - 1) ** 2)[:, None] + (2 * columns / width - 1) ** 2
    return 1 - (distance / 2).sqrt().clamp(max=1)
