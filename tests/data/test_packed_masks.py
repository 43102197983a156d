"""A mask goes into an index as polygons or run lengths, and comes out as the runs that pycocotools draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pycocotools import mask as rle

from lineage.data.annotations import packed_masks
from lineage.data.annotations.packed_masks import encode_rle, pack_masks, to_rle
from lineage.data.annotations.polygon_table import join_polygons

SIZE = (480, 640)
RING = [300.25, 100.5, 400.01, 120.0, 420.99, 330.33, 250.5, 400.07, 180.13, 222.22]
FAR = [10.0, 10.0, 60.5, 12.25, 55.55, 90.01]


def pack(annotation: dict[str, Any], size: tuple[int, int]) -> bytes:
    return pack_masks([annotation], np.array([size]))[0]


def drawn(shape: Any) -> bytes:
    """By pycocotools, over a canvas of its own."""
    codes = rle.frPyObjects(shape, *SIZE)
    found = rle.encode(np.asfortranarray(rle.decode(codes).any(-1), np.uint8)) if isinstance(codes, list) else codes
    return bytes(found["counts"])


@pytest.mark.parametrize("shape", [[RING], [RING, FAR], [FAR, FAR, RING]], ids=["one", "two", "overlapping"])
def test_polygons_in_hundredths_take_less_and_draw_the_same(shape: list[list[float]]) -> None:
    text = pack({"segmentation": shape}, SIZE)
    assert len(text) == 1 + 2 * sum(1 + len(polygon) for polygon in shape) < len(drawn(shape))
    assert to_rle(text, SIZE) == encode_rle({"segmentation": shape}, SIZE) == drawn(shape)


@pytest.mark.parametrize(
    "shape",
    [
        [[*RING[:-1], 222.2222]],
        [[-0.5, *RING[1:]]],
        [[655.36, *RING[1:]]],
        [[100.0, 100.0, 103.0, 100.0, 103.0, 103.0, 101.0, 104.0, 100.0, 103.0, 100.5, 101.0]],
        [RING] * 48,
    ],
    ids=["more digits", "below zero", "too far", "shorter as runs", "too many"],
)
def test_what_hundredths_cannot_say_or_say_longer_stays_run_lengths(shape: list[list[float]]) -> None:
    assert pack({"segmentation": shape}, SIZE) == encode_rle({"segmentation": shape}, SIZE) == drawn(shape)


def square(side: float) -> list[float]:
    return [0.0, 0.0, side, 0.0, side, side, 0.0, side]


@pytest.mark.parametrize(
    ("shape", "is_polygons"),
    [
        ([[0.0, 0.0, 655.35, 0.0, 655.35, 9.0]], True),  # the largest number of two bytes
        ([[0.0, 0.0, 655.36, 0.0, 655.36, 9.0]], False),
        ([square(20.0)] * 47, True),  # as many as a byte below "0" says
        ([square(20.0)] * 48, False),
        ([square(6.5)], True),  # 1 + 2 x (1 + 8) = 19 bytes, against 3 for each column of 6.5
        ([square(6.33)], False),  # 18.99
        ([square(6.34)], True),  # 19.02
        ([square(5.0), [0.0, 0.0, 8.0, 0.0, 8.0, 8.0]], True),  # 33 bytes against 39
    ],
)
def test_polygons_are_stored_up_to_the_borders(shape: list[list[float]], is_polygons: bool) -> None:
    text = pack({"segmentation": shape}, SIZE)
    assert (text[0] < ord("0")) == is_polygons
    if is_polygons:
        assert text[0] == len(shape)


def test_run_lengths_stay_what_they_are() -> None:
    whole = {"size": SIZE, "counts": [0, 480 * 640]}
    text = pack({"segmentation": whole}, SIZE)
    assert to_rle(text, SIZE) == text == drawn(whole)
    assert pack({"segmentation": {"size": SIZE, "counts": text.decode()}}, SIZE) == text


def test_an_object_without_a_mask_has_no_text() -> None:
    assert pack({}, SIZE) == pack({"segmentation": []}, SIZE) == to_rle(b"", SIZE) == b""


def test_random_polygons_come_back_as_pycocotools_draws_them() -> None:
    random = np.random.default_rng(0)
    for _ in range(200):
        digits, reach = int(random.integers(1, 4)), random.choice([5, 50, 479])
        counts = 2 * random.integers(3, 30, random.integers(1, 4))
        shape = [(random.random(count) * reach).round(digits).tolist() for count in counts]
        assert to_rle(pack({"segmentation": shape}, SIZE), SIZE) == drawn(shape)


def test_masks_packed_together_are_those_packed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """One array holds the coordinates of many masks; none may take those of its neighbour."""
    random = np.random.default_rng(1)
    whole = {"size": SIZE, "counts": [0, 480 * 640]}
    others: list[Any] = [None, [], whole, [[*RING[:-1], 222.2222]], [[0, 0, 3, 0, 3, 3]], [RING] * 48, [FAR, FAR, RING]]
    masks = [
        others[random.integers(len(others))]
        if random.random() < 0.4
        else [(random.random(2 * random.integers(3, 30)) * 400).round(2).tolist() for _ in range(random.integers(1, 4))]
        for _ in range(200)
    ]
    annotations = [
        {"segmentation": join_polygons(mask) if isinstance(mask, list) and mask and random.random() < 0.5 else mask}
        for mask in masks
    ]
    alone = [pack(annotation, SIZE) for annotation in annotations]
    assert [to_rle(packed, SIZE) for packed in alone] == [drawn(mask) if mask else b"" for mask in masks]
    for masks_at_once in (7, 4096):
        monkeypatch.setattr(packed_masks, "MASKS_AT_ONCE", masks_at_once)
        assert pack_masks(annotations, np.array([SIZE] * len(annotations))) == alone
