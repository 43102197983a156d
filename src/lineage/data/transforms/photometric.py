"""Photometric distortion: SSD (arXiv:1512.02325), section 2.2, with the ranges of its Caffe code.

Brightness, contrast, saturation and hue change with probability one half each; contrast comes before or after the
colours, by chance. torchvision's transform of that name multiplies where SSD adds, and blends with grey where SSD
scales the saturation of HSV.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision import tv_tensors as tv
from torchvision.transforms.v2 import functional

from lineage.data.samples.sample import Sample


class Distort:
    """`brightness` in grey levels; `contrast` and `saturation` as (least, most) factors; `hue` in degrees."""

    def __init__(
        self, *, probability: float, brightness: float, contrast: tuple[float, float], saturation: tuple[float, float],
        hue: float,
    ) -> None:  # fmt: skip
        self.probability = probability
        self.brightness, self.contrast, self.saturation, self.hue = brightness, contrast, saturation, hue

    def __call__(self, sample: Sample) -> Sample:
        image = sample.image.as_subclass(Tensor)
        contrast_first = self._happens(0.5)
        if self._happens(self.probability):
            image = brighter(image, between(-self.brightness, self.brightness))
        if contrast_first and self._happens(self.probability):
            image = scaled(image, between(*self.contrast))
        if self._happens(self.probability):
            image = saturated(image, between(*self.saturation))
        if self._happens(self.probability):
            # deviates: Caffe adds to OpenCV's H of 0..180 without wrapping red around; degrees are meant here
            image = functional.adjust_hue(image, between(-self.hue, self.hue) / 360)
        if not contrast_first and self._happens(self.probability):
            image = scaled(image, between(*self.contrast))
        return sample._replace(image=tv.wrap(image, like=sample.image))

    def _happens(self, probability: float) -> bool:
        return bool(torch.rand(()) < probability)


def between(low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand(()))


def brighter(image: Tensor, levels: float) -> Tensor:
    """Add grey levels to uint8."""
    return _whole(image.float() + levels)


def scaled(image: Tensor, factor: float) -> Tensor:
    """Multiply uint8 by a factor: contrast around black, as OpenCV's convertTo does."""
    return _whole(image.float() * factor)


def saturated(image: Tensor, factor: float) -> Tensor:
    """Scale S of HSV with H and V kept: every channel's distance from the largest is scaled, at most down to 0."""
    pixels = image.float()
    value = pixels.amax(-3, keepdim=True)
    below = value - pixels
    most = value / below.amax(-3, keepdim=True).clamp(min=1)  # factor that makes the smallest channel 0: S = 1
    return _whole(value - below * most.clamp(max=factor))


def _whole(pixels: Tensor) -> Tensor:
    return pixels.round_().clamp_(0, 255).to(torch.uint8)
