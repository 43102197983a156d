"""A scalar of a network as a function of the pixels of one image: the thing that every map of this package explains."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class ScalarOutput(Protocol):
    """One number that a network computes from one image, through feature maps.

    Its regions and boxes are constants, so that a map depends on no gradient through coordinates.
    """

    @property
    def pixels(self) -> Tensor:
        """Return [1, 3, H, W] float32 RGB, 0 to 255."""
        ...

    @property
    def size(self) -> tuple[float, float]:
        """Return (height, width) of the content in the canvas."""
        ...

    @property
    def baseline(self) -> Tensor:
        """Return [1, 3, H, W] the image without information: the mean colour."""
        ...

    @property
    def std(self) -> Tensor:
        """Return [3, 1, 1] the divisor of the pixels in the network's normalisation."""
        ...

    def features(self, pixels: Tensor) -> list[Tensor]:
        """Compute the feature maps [B, C, h, w], fine to coarse, of B variants of the pixels: [B, 3, H, W]"""
        ...

    def score(self, features: list[Tensor]) -> Tensor:
        """Compute the scalar [] from the feature maps of one variant."""
        ...
