"""Inference cost: every multiply-add is counted, and the first batch is not timed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
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


class Event:
    """A CUDA event of a clock that a test turns; it may be read once it was waited for."""

    clock = 0.0  # milliseconds

    def __init__(self, *, enable_timing: bool) -> None:
        assert enable_timing
        self.is_done = False

    def record(self, stream: str) -> None:
        assert stream == "stream of cuda:1"
        self.time = Event.clock

    def synchronize(self) -> None:
        self.is_done = True

    def elapsed_time(self, end: Event) -> float:
        assert end.is_done
        return end.time - self.time


def test_on_a_gpu_events_before_and_after_a_batch_are_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first batch is no part of it; the time between batches, of pasting and scoring, is none either."""
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", "stream of {}".format)

    class Sizes:
        is_cuda, device = True, "cuda:1"

        def __len__(self) -> int:
            return 4

    def detect(images: Any) -> Any:
        Event.clock += 30.0
        return images

    cost: Any = InferenceCost()
    images = SimpleNamespace(sizes=Sizes())
    for _ in range(3):
        assert cost.measure(detect, images) is images
        Event.clock += 500.0
    assert cost.images == 8
    assert cost.seconds == pytest.approx(0.06)
    assert cost.image_ms == pytest.approx(7.5)
    cost.measure(detect, images)
    assert cost.seconds == pytest.approx(0.09), "the time of a batch counts once"
    assert cost.image_ms == pytest.approx(7.5)


def test_seconds_of_a_cpu_are_those_of_the_later_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([5.0, 5.5, 100.0, 100.25])
    monkeypatch.setattr("lineage.train.inference_cost.time.perf_counter", lambda: next(times))
    cost, model = InferenceCost(), toy.Toy()
    for size in (7, 2, 3):
        cost.measure(model.detect, make_images(size))
    assert (cost.seconds, cost.images, cost.image_ms) == (0.75, 5, 150.0)
