"""Random crops, as the recipes of detectron2, DETR and DeepLab use them.

An object's box may be cut at the border of the window. With `single_category_max_area`, windows of which one class
covers that share or more are drawn again (Panoptic-DeepLab, arXiv:1911.10194): a crop of road alone teaches little.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lineage.data.samples.sample import Sample
from lineage.data.transforms import geometry
from lineage.data.transforms.geometry import AugmentError, Size
from lineage.structures import UNLABELLED

ATTEMPTS = 10  # windows drawn; the last one is used whatever it contains


class RandomCrop:
    """Crop to a random window.

    `window` draws a (height, width) for an image of some (height, width): one of the functions below.
    `single_category_max_area`, a share of the labelled pixels, needs semantic labels; None takes every window.
    """

    def __init__(self, *, window: Callable[[Size], Size], single_category_max_area: float | None) -> None:
        self.window, self.single_category_max_area = window, single_category_max_area

    def __call__(self, sample: Sample) -> Sample:
        max_area = self.single_category_max_area
        if max_area is not None and sample.semantic is None:
            raise AugmentError(
                f"augment: a crop with single_category_max_area={max_area} needs semantic labels, image "
                f"{sample.image_id} has none; use single_category_max_area=null or a dataset with such labels"
            )
        for _ in range(ATTEMPTS):
            size, (top, left) = self._draw_window(geometry.get_size(sample))
            if max_area is None or sample.semantic is None:
                break
            if is_balanced(sample.semantic[top : top + size[0], left : left + size[1]], max_area):
                break
        return geometry.crop(sample, top, left, size)

    def _draw_window(self, image: Size) -> tuple[Size, tuple[int, int]]:
        """Return a size and a top left corner, each corner that fits with equal probability."""
        height, width = (min(a, b) for a, b in zip(self.window(image), image, strict=True))
        corner = draw_integer(0, image[0] - height), draw_integer(0, image[1] - width)
        return (height, width), corner


def absolute(image: Size, *, size: Sequence[int]) -> Size:
    """Return (height, width) in pixels; RandomCrop limits it to the image."""
    return int(size[0]), int(size[1])


def relative(image: Size, *, shares: Sequence[float]) -> Size:
    """Return these shares of the image's height and width."""
    return int(image[0] * shares[0] + 0.5), int(image[1] * shares[1] + 0.5)


def relative_range(image: Size, *, min_shares: Sequence[float]) -> Size:
    """Draw a share for the height and one for the width, each uniform between its minimum and 1."""
    shares = [low + (1 - low) * float(torch.rand(())) for low in min_shares]
    return relative(image, shares=shares)


def absolute_range(image: Size, *, side_range: Sequence[int]) -> Size:
    """Draw each side between the two of `side_range` in pixels (DETR: 384 to 600)."""
    low, high = side_range
    height, width = (draw_integer(min(side, low), min(side, high)) for side in image)
    return height, width


def draw_integer(low: int, high: int) -> int:
    """Draw uniformly from low..high, both included."""
    return int(torch.randint(low, high + 1, ()))


def is_balanced(labels: Tensor, max_area: float) -> bool:
    """Return whether there are several classes and each covers less than `max_area` of the labelled pixels."""
    counts = torch.bincount(labels.as_subclass(Tensor).flatten().long(), minlength=UNLABELLED + 1)[:UNLABELLED]
    return bool((counts > 0).sum() > 1) and bool(counts.max() < max_area * counts.sum())
