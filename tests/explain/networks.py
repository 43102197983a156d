"""Small networks whose maps are known in closed form, as scalar outputs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class NetworkOutput:
    """A scalar of `head(body(x))`; the image without information is 0."""

    def __init__(self, body: nn.Module, head: Callable[[Tensor], Tensor], pixels: Tensor):
        self.body, self.head, self.pixels = body, head, pixels
        self.size = (float(pixels.shape[-2]), float(pixels.shape[-1]))
        self.baseline, self.std = torch.zeros_like(pixels), torch.ones(3, 1, 1, dtype=pixels.dtype)

    def features(self, pixels: Tensor) -> list[Tensor]:
        return [self.body(pixels)]

    def score(self, features: list[Tensor]) -> Tensor:
        return self.head(features[0])


def pooled_linear(weight: Tensor) -> Callable[[Tensor], Tensor]:
    """Global average pooling, then a linear layer: CAM's network."""
    return lambda features: (features.mean((2, 3))[0] * weight).sum()
