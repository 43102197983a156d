from __future__ import annotations

import colorsys

import pytest
import torch
from torchvision import tv_tensors as tv

from lineage.data.samples.sample import Sample
from lineage.data.transforms.photometric import (
    PhotometricDistort,
    adjust_brightness,
    adjust_contrast,
    adjust_saturation,
)
from tests.data.samples import full


def distort(probability: float = 0.5) -> PhotometricDistort:
    return PhotometricDistort(p=probability, brightness=32, contrast=(0.5, 1.5), saturation=(0.5, 1.5), hue=18)


def test_brightness_adds_and_contrast_multiplies() -> None:
    image = torch.tensor([[[0, 100, 250]]], dtype=torch.uint8).expand(3, 1, 3)
    assert adjust_brightness(image, 20)[0, 0].tolist() == [20, 120, 255]
    assert adjust_brightness(image, -20)[0, 0].tolist() == [0, 80, 230]
    assert adjust_contrast(image, 1.5)[0, 0].tolist() == [0, 150, 255]


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.0, 1.3, 4.0])
def test_saturation_is_that_of_hsv(factor: float) -> None:
    generator = torch.Generator().manual_seed(1)
    image = torch.randint(256, (3, 9, 11), dtype=torch.uint8, generator=generator)
    image[:, 0, 0], image[:, 0, 1] = 0, 77  # black and grey have no hue
    ours = adjust_saturation(image, factor)
    for y in range(9):
        for x in range(11):
            h, s, v = colorsys.rgb_to_hsv(*(image[:, y, x] / 255).tolist())
            expected = torch.tensor(colorsys.hsv_to_rgb(h, min(1.0, s * factor), v)) * 255
            assert (ours[:, y, x] - expected).abs().max() <= 0.51


def test_nothing_happens_at_probability_zero_and_only_pixels_otherwise() -> None:
    sample = full()
    assert distort(0.0)(sample).image.equal(sample.image)
    torch.manual_seed(0)
    changed = distort(1.0)(sample)
    assert isinstance(changed.image, tv.Image)
    assert changed.image.dtype == torch.uint8
    assert not changed.image.equal(sample.image)
    assert all(a is b for a, b in zip(changed[1:], sample[1:], strict=True))


def test_brightness_stays_within_its_range_on_average() -> None:
    only = PhotometricDistort(p=1.0, brightness=32, contrast=(1, 1), saturation=(1, 1), hue=0)
    sample: Sample = full()._replace(image=tv.Image(torch.full((3, 8, 8), 100, dtype=torch.uint8)))
    torch.manual_seed(0)
    levels = torch.tensor([int(only(sample).image[0, 0, 0]) for _ in range(300)])
    assert levels.min() in range(68, 72)
    assert levels.max() in range(129, 133)
