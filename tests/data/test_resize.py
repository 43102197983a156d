"""Resizing by the shorter edge."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from lineage.data.transforms.context import Context
from lineage.data.transforms.resize import RandomShapes, RandomShortestEdge, ResizeShortestEdge
from tests.data.samples import scene


@pytest.mark.parametrize(("height", "width", "expected"), [
    (480, 640, (800, 1067)), (427, 640, (800, 1199)), (640, 427, (1199, 800)), (360, 640, (750, 1333)),
    (500, 500, (800, 800)), (10, 1000, (13, 1333)),
])  # fmt: skip
def test_shortest_edge_gives_the_sizes_of_the_paper(height: int, width: int, expected: tuple[int, int]) -> None:
    sample = scene(0, height, width)
    assert ResizeShortestEdge([800], 1333)(sample).image.shape[-2:] == expected


def test_shortest_edge_scales_everything_alike() -> None:
    sample = ResizeShortestEdge([111], 1000)(scene())
    assert sample.masks is not None
    assert sample.image.shape[-2:] == sample.masks.canvas_size == sample.boxes.canvas_size == (111, 159)
    for box, (x, y, width, height) in zip(sample.boxes.tolist(), sample.masks.windows.tolist(), strict=True):
        assert box == pytest.approx([x, y, x + width, y + height], abs=0.51)
    assert sample.original_size == (37, 53)


def test_shortest_edge_draws_every_size() -> None:
    torch.manual_seed(0)
    transform = ResizeShortestEdge([20, 30, 40], 1000)
    assert {int(transform(scene(0)).image.shape[-2]) for _ in range(30)} == {20, 30, 40}


def test_a_range_draws_every_length_of_it() -> None:
    torch.manual_seed(0)
    transform = RandomShortestEdge(min_length=20, max_length=23, max_size=1000)
    assert {int(transform(scene(0)).image.shape[-2]) for _ in range(60)} == {20, 21, 22, 23}


def test_random_shapes_are_a_function_of_seed_and_step() -> None:
    transform = RandomShapes(sizes=[20, 30, 40], max_size=1000, interval=10)

    def height(step: int, seed: int) -> int:
        return int(transform(scene(0), Context(SimpleNamespace(), step, seed)).image.shape[-2])  # type: ignore[arg-type]

    heights = [height(step, 7) for step in range(300)]
    assert heights == [height(step, 7) for step in range(300)]
    assert all(len(set(heights[start : start + 10])) == 1 for start in range(0, 300, 10))
    assert set(heights) == {20, 30, 40}
    assert heights != [height(step, 8) for step in range(300)]
