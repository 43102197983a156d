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


class PhotometricDistort:
    """Distort the colours of an image.

    p           probability of each of the four changes
    brightness  largest change in grey levels
    contrast    (lowest, highest) factor
    saturation  (lowest, highest) factor
    hue         largest change in degrees
    """

    def __init__(
        self, *, p: float, brightness: float, contrast: tuple[float, float], saturation: tuple[float, float], hue: float
    ) -> None:
        self.p = p
        self.brightness, self.contrast, self.saturation, self.hue = brightness, contrast, saturation, hue

    def __call__(self, sample: Sample) -> Sample:
        image = sample.image.as_subclass(Tensor)
        contrast_first = self._happens(0.5)
        if self._happens(self.p):
            image = adjust_brightness(image, draw_uniform(-self.brightness, self.brightness))
        if contrast_first and self._happens(self.p):
            image = adjust_contrast(image, draw_uniform(*self.contrast))
        if self._happens(self.p):
            image = adjust_saturation(image, draw_uniform(*self.saturation))
        if self._happens(self.p):
            # deviates: Caffe adds to OpenCV's H of 0..180 without wrapping red around; degrees are meant here
            image = functional.adjust_hue(image, draw_uniform(-self.hue, self.hue) / 360)
        if not contrast_first and self._happens(self.p):
            image = adjust_contrast(image, draw_uniform(*self.contrast))
        return sample._replace(image=tv.wrap(image, like=sample.image))

    def _happens(self, p: float) -> bool:
        return bool(torch.rand(()) < p)


def draw_uniform(low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand(()))


def adjust_brightness(image: Tensor, levels: float) -> Tensor:
    """Add grey levels to uint8."""
    return _to_uint8(image.float() + levels)


def adjust_contrast(image: Tensor, factor: float) -> Tensor:
    """Multiply uint8 by a factor: contrast around black, as OpenCV's convertTo does."""
    return _to_uint8(image.float() * factor)


def adjust_saturation(image: Tensor, factor: float) -> Tensor:
    """Scale S of HSV and keep H and V: the distance of each channel from the largest is scaled, at most down to 0."""
    pixels = image.float()
    value = pixels.amax(-3, keepdim=True)
    distance = value - pixels
    # the factor that makes the smallest channel 0: S = 1
    max_factor = value / distance.amax(-3, keepdim=True).clamp(min=1)
    return _to_uint8(value - distance * max_factor.clamp(max=factor))


def _to_uint8(pixels: Tensor) -> Tensor:
    return pixels.round_().clamp_(0, 255).to(torch.uint8)
