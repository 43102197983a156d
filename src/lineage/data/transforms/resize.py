"""Resizing that keeps the aspect ratio: the shorter edge of the image gets a length."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from lineage.data.samples.sample import Sample
from lineage.data.transforms import geometry
from lineage.data.transforms.context import Context
from lineage.ops.random import fold_in


class ResizeShortestEdge:
    """Resize the shorter edge to one of `sizes` in pixels, less if the longer one would exceed `max_size` (Fast R-CNN).

    With several sizes each is drawn with equal probability (detectron2's sampling "choice").
    """

    def __init__(self, sizes: Sequence[int], max_size: int) -> None:
        self.sizes = tuple(sizes)
        self.max_size = max_size

    def __call__(self, sample: Sample) -> Sample:
        length = self.sizes[int(torch.randint(len(self.sizes), ()))] if len(self.sizes) > 1 else self.sizes[0]
        return geometry.resize(sample, fit_shortest_edge(geometry.get_size(sample), length, self.max_size))

    def output_size(self, size: geometry.Size) -> geometry.Size | None:
        """Return the size of an image of `size` after the transform, or None if it is drawn."""
        return fit_shortest_edge(size, self.sizes[0], self.max_size) if len(self.sizes) == 1 else None


class RandomShortestEdge:
    """Resize the shorter edge to a random length in pixels, both ends included (detectron2's sampling "range")."""

    def __init__(self, *, min_length: int, max_length: int, max_size: int) -> None:
        self.min_length, self.max_length, self.max_size = min_length, max_length, max_size

    def __call__(self, sample: Sample) -> Sample:
        length = int(torch.randint(self.min_length, self.max_length + 1, ()))
        return geometry.resize(sample, fit_shortest_edge(geometry.get_size(sample), length, self.max_size))


class RandomShapes:
    """Resize all images of `interval` steps to one length: Bag of Freebies (arXiv:1902.04103), section 3.6; YOLOv2.

    The length is a function of the seed and the step, so all processes and resumed runs use the same.
    """

    def __init__(self, *, sizes: Sequence[int], max_size: int, interval: int) -> None:
        self.sizes, self.max_size, self.interval = tuple(sizes), max_size, interval

    def __call__(self, sample: Sample, context: Context) -> Sample:
        choice = fold_in("shapes", context.seed, context.step // self.interval) % len(self.sizes)
        return geometry.resize(sample, fit_shortest_edge(geometry.get_size(sample), self.sizes[choice], self.max_size))


def fit_shortest_edge(size: geometry.Size, length: int, max_size: int) -> geometry.Size:
    """Return the size whose shorter edge is `length`, or whose longer edge is `max_size` if that is smaller."""
    scale = min(length / min(size), max_size / max(size))
    return max(1, int(size[0] * scale + 0.5)), max(1, int(size[1] * scale + 0.5))
