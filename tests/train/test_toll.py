"""What a test costs: every multiply-add is counted, and the first batch is not timed."""

from __future__ import annotations

import torch
from torch import nn

from lineage.structures import Detections, Images
from lineage.train.inference_cost import Toll
from tests.train import toy


def images(batch: int) -> Images:
    return Images(torch.zeros(batch, 3, 8, 8, dtype=torch.uint8), torch.full((batch, 2), 8.0), torch.arange(batch))


def test_the_multiply_adds_of_one_image_are_those_of_its_layers() -> None:
    conv, linear = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 5)
    model = toy.Toy()

    def detect(given: Images) -> Detections:
        linear(conv(given.pixels.float()).mean((2, 3)))
        return model.detect(given)

    for batch in (1, 3):
        toll = Toll()
        with torch.inference_mode():
            toll.taken(detect, images(batch))
        assert toll.multiply_adds == 8 * 8 * 3 * 4 * 9 + 4 * 5


def test_the_first_batch_is_counted_and_the_others_are_timed() -> None:
    toll, model = Toll(), toy.Toy()
    toll.taken(model.detect, images(4))
    assert toll.image_ms is None
    for _ in range(2):
        toll.taken(model.detect, images(4))
    assert toll.images == 8
    assert toll.image_ms is not None
    assert toll.image_ms > 0
