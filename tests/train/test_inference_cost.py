"""Inference cost: every multiply-add is counted, and the first batch is not timed."""

from __future__ import annotations

import torch
from torch import nn

from lineage.structures import Detections, Images
from lineage.train.inference_cost import InferenceCost
from tests.train import toy


def make_images(batch: int) -> Images:
    return Images(torch.zeros(batch, 3, 8, 8, dtype=torch.uint8), torch.full((batch, 2), 8.0), torch.arange(batch))


def test_the_multiply_adds_of_one_image_are_those_of_its_layers() -> None:
    conv, linear = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 5)
    model = toy.Toy()

    def detect(images: Images) -> Detections:
        linear(conv(images.pixels.float()).mean((2, 3)))
        return model.detect(images)

    for batch in (1, 3):
        cost = InferenceCost()
        with torch.inference_mode():
            cost.measure(detect, make_images(batch))
        assert cost.macs == 8 * 8 * 3 * 4 * 9 + 4 * 5


def test_the_first_batch_is_counted_and_the_others_are_timed() -> None:
    cost, model = InferenceCost(), toy.Toy()
    cost.measure(model.detect, make_images(4))
    assert cost.image_ms is None
    for _ in range(2):
        cost.measure(model.detect, make_images(4))
    assert cost.images == 8
    assert cost.image_ms is not None
    assert cost.image_ms > 0
