"""Train on a window of the image: detectron2's random crops, as DETR's and DeepLab's recipes use them.

An object's box may be cut at the border of the window. With `most`, windows that one class fills beyond that share are
drawn again (Panoptic-DeepLab, arXiv:1911.10194): a crop of nothing but road teaches little.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lineage.data.samples.sample import Sample
from lineage.data.transforms import geometry
from lineage.data.transforms.geometry import UNLABELLED, AugmentError, Size

ATTEMPTS = 10  # windows drawn before the last one is taken as it is


class Crop:
    """`window` draws a (height, width) for an image of some (height, width); `most` needs semantic labels."""

    def __init__(self, *, window: Callable[[Size], Size], most: float | None) -> None:
        self.window, self.most = window, most

    def __call__(self, sample: Sample) -> Sample:
        if self.most is not None and sample.semantic is None:
            raise AugmentError(f"augment: a crop with most={self.most} needs semantic labels, image {sample.image_id} "
                               "has none; use most=null or a dataset with such labels")  # fmt: skip
        for _ in range(ATTEMPTS):
            size, (top, left) = self._draw(geometry.canvas(sample))
            if self.most is None or sample.semantic is None:
                break
            if balanced(sample.semantic[top : top + size[0], left : left + size[1]], self.most):
                break
        return geometry.crop(sample, top, left, size)

    def _draw(self, whole: Size) -> tuple[Size, tuple[int, int]]:
        """Size and top left corner, every corner that fits equally likely."""
        height, width = (min(a, b) for a, b in zip(self.window(whole), whole, strict=True))
        corner = integer(0, whole[0] - height), integer(0, whole[1] - width)
        return (height, width), corner


def absolute(whole: Size, *, size: Sequence[int]) -> Size:
    """These pixels, or the whole side where it is shorter."""
    return int(size[0]), int(size[1])


def relative(whole: Size, *, share: Sequence[float]) -> Size:
    """These shares of the height and of the width."""
    return int(whole[0] * share[0] + 0.5), int(whole[1] * share[1] + 0.5)


def relative_range(whole: Size, *, least: Sequence[float]) -> Size:
    """Shares between `least` and 1, drawn for each side."""
    drawn = [low + (1 - low) * float(torch.rand(())) for low in least]
    return relative(whole, share=drawn)


def absolute_range(whole: Size, *, sides: Sequence[int]) -> Size:
    """Each side between the two of `sides` in pixels (DETR: 384 to 600)."""
    least, most = sides
    height, width = (integer(min(side, least), min(side, most)) for side in whole)
    return height, width


def integer(low: int, high: int) -> int:
    """Uniform in low..high, both included."""
    return int(torch.randint(low, high + 1, ()))


def balanced(labels: Tensor, most: float) -> bool:
    """More than one class, none with `most` of the labelled pixels or more."""
    counts = torch.bincount(labels.as_subclass(Tensor).flatten().long(), minlength=UNLABELLED + 1)[:UNLABELLED]
    return bool((counts > 0).sum() > 1) and bool(counts.max() < most * counts.sum())
