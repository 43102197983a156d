"""Large scale jitter: Simple Copy-Paste (arXiv:2012.07177), section 3; EfficientDet before it.

The image, fitted into the canvas, is scaled by 0.1 to 2.0; what is too large is cropped, what is too small is padded,
so that every image of a run has one shape.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from lineage.data.samples.sample import Sample
from lineage.data.transforms import geometry
from lineage.data.transforms.crop import integer


class LargeScaleJitter:
    """`scales` (least, most) relative to the fit into `size` (height, width); the padding is grey of level `fill`."""

    def __init__(self, *, scales: Sequence[float], size: Sequence[int], fill: int) -> None:
        self.low, self.high = scales
        self.size = int(size[0]), int(size[1])
        self.fill = fill

    def __call__(self, sample: Sample) -> Sample:
        scale = self.low + (self.high - self.low) * float(torch.rand(()))
        return self.scaled(sample, scale)

    def scaled(self, sample: Sample, scale: float) -> Sample:
        height, width = geometry.canvas(sample)
        fit = min(self.size[0] / height, self.size[1] / width) * scale
        inside = max(1, int(height * fit + 0.5)), max(1, int(width * fit + 0.5))
        sample = geometry.resize(sample, inside)
        window = min(inside[0], self.size[0]), min(inside[1], self.size[1])
        top, left = integer(0, inside[0] - window[0]), integer(0, inside[1] - window[1])
        return geometry.pad(geometry.crop(sample, top, left, window), self.size, self.fill)
