"""Large scale jitter: Simple Copy-Paste (arXiv:2012.07177), section 3; EfficientDet before it.

The image, fitted into the target size, is scaled by 0.1 to 2.0. A larger image is cropped, a smaller one is padded, so
that every image of a run has one shape.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from lineage.data.samples.sample import Sample
from lineage.data.transforms import geometry
from lineage.data.transforms.crop import draw_integer


class LargeScaleJitter:
    """Resize by a random factor, then crop or pad to `target_size` (height, width).

    `scale_range` (lowest, highest) is relative to the image fitted into the target; the padding has grey level `fill`.
    """

    def __init__(self, *, scale_range: Sequence[float], target_size: Sequence[int], fill: int) -> None:
        self.low, self.high = scale_range
        self.target_size = int(target_size[0]), int(target_size[1])
        self.fill = fill

    def __call__(self, sample: Sample) -> Sample:
        scale = self.low + (self.high - self.low) * float(torch.rand(()))
        return self.rescale(sample, scale)

    def rescale(self, sample: Sample, scale: float) -> Sample:
        height, width = geometry.get_size(sample)
        factor = min(self.target_size[0] / height, self.target_size[1] / width) * scale
        size = max(1, int(height * factor + 0.5)), max(1, int(width * factor + 0.5))
        sample = geometry.resize(sample, size)
        window = min(size[0], self.target_size[0]), min(size[1], self.target_size[1])
        top, left = draw_integer(0, size[0] - window[0]), draw_integer(0, size[1] - window[1])
        return geometry.pad(geometry.crop(sample, top, left, window), self.target_size, self.fill)
