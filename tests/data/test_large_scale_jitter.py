from __future__ import annotations

import pytest
import torch

from lineage.data.transforms import geometry
from lineage.data.transforms.large_scale_jitter import LargeScaleJitter
from lineage.data.transforms.sanitize import sanitize
from tests.data.samples import full, same


def jitter(low: float = 0.1, high: float = 2.0) -> LargeScaleJitter:
    return LargeScaleJitter(scale_range=[low, high], target_size=[64, 64], fill=128)


@pytest.mark.parametrize("seed", range(8))
def test_every_sample_fills_one_shape(seed: int) -> None:
    torch.manual_seed(seed)
    sample = sanitize(jitter()(full()))
    assert sample.image.shape == (3, 64, 64)
    fields = (sample.boxes, sample.masks, sample.keypoints, sample.proposals)
    assert {one.canvas_size for one in fields} == {(64, 64)}
    assert sample.semantic.shape == (64, 64)
    assert len(sample.labels) == len(sample.boxes) == len(sample.masks) == len(sample.object_weights)


def test_a_small_scale_shrinks_into_the_corner_and_pads() -> None:
    sample = full()
    small = jitter().rescale(sample, 0.5)
    inside = (22, 32)  # 37 x 53 fits into 64 as 45 x 64
    expected = geometry.pad(geometry.resize(sample, inside), (64, 64), fill=128)
    assert same(small, expected)
    assert (small.image[:, 22:] == 128).all()
    assert (small.semantic[:, 32:] == 255).all()


def test_a_large_scale_is_a_window_of_the_enlarged_image() -> None:
    sample = full()
    torch.manual_seed(0)
    large = jitter().rescale(sample, 2.0)
    whole = geometry.resize(sample, (89, 128))
    windows = whole.image.unfold(1, 64, 1).unfold(2, 64, 1)  # [3, tops, lefts, 64, 64]
    matches = (windows == large.image[:, None, None]).all(-1).all(-1).all(0).nonzero()
    assert len(matches) == 1
    top, left = matches[0].tolist()
    assert same(large, geometry.crop(whole, top, left, (64, 64)))


def test_scales_cover_their_range() -> None:
    torch.manual_seed(0)
    transform, widths = jitter(0.5, 1.0), []
    for _ in range(100):
        image = transform(full(0)).image
        widths.append(int((image[0] != 128).any(0).nonzero().max()) + 1)
    assert min(widths) < 36
    assert max(widths) > 60
