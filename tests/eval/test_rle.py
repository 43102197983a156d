"""Our run-length encoder against cocoapi's, byte for byte."""

from __future__ import annotations

import numpy as np
import pycocotools.mask
import pytest

from lineage.eval.predictions.rle import MaskWindows, count_pixels, encode


def windows(masks: list[np.ndarray], corners: list[tuple[int, int]]) -> MaskWindows:
    parts = [np.pad(mask, ((0, 1), (0, 0))).T.ravel() for mask in masks]
    sizes = np.array([len(part) for part in parts])
    heights = np.array([len(mask) for mask in masks])
    pixels = np.concatenate([[False], *parts])
    return MaskWindows(pixels, np.cumsum(sizes) - sizes + 1, np.array(corners), heights)


def canvas_rle(mask: np.ndarray, corner: tuple[int, int], size: tuple[int, int]) -> bytes:
    canvas = np.zeros(size, np.uint8, order="F")
    x, y = corner
    canvas[y : y + mask.shape[0], x : x + mask.shape[1]] = mask
    return pycocotools.mask.encode(canvas)["counts"]


@pytest.mark.parametrize("seed", range(20))
def test_windows_encode_as_their_canvas_would(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = tuple(rng.integers(1, 300, 2).tolist())
    masks, corners = [], []
    for density in rng.random(9):
        height, width = rng.integers(0, np.array(size) + 1)
        y, x = rng.integers(0, np.array(size) - (height, width) + 1)
        masks.append(rng.random((height, width)) < density)
        corners.append((int(x), int(y)))
    expected = [canvas_rle(mask, corner, size) for mask, corner in zip(masks, corners, strict=True)]
    assert encode(windows(masks, corners), size).counts() == expected


@pytest.mark.parametrize("value", [False, True])
def test_full_and_empty_canvases(value: bool) -> None:
    mask = np.full((480, 640), value)
    (text,) = encode(windows([mask], [(0, 0)]), (480, 640)).counts()
    assert text == canvas_rle(mask, (0, 0), (480, 640))


def test_columns_over_the_full_height_join() -> None:
    mask = np.ones((50, 3), bool)
    (text,) = encode(windows([mask], [(4, 0)]), (50, 9)).counts()
    assert text == canvas_rle(mask, (4, 0), (50, 9))


def test_runs_of_a_hundred_million_pixels() -> None:
    size = (20000, 30000)
    (text,) = encode(windows([np.ones((1, 1), bool)], [(15000, 7)]), size).counts()
    rle = pycocotools.mask.frPyObjects({"size": list(size), "counts": [300000007, 1, 299999992]}, *size)
    assert text == rle["counts"]


def test_runs_cover_their_canvas() -> None:
    """Compressed as bytes or text, or not compressed; anything else than all pixels shows damage."""
    rng = np.random.default_rng(0)
    counts: list[str | bytes | list[int]] = []
    sizes = rng.integers(1, 200, (60, 2)).tolist()
    for place, size in enumerate(sizes):
        mask = np.asfortranarray(rng.random(size) < rng.choice([0, 0.01, 0.5, 1]), np.uint8)
        flat = mask.ravel("F")
        runs = np.diff([0, *(np.flatnonzero(np.diff(flat)) + 1), flat.size]).tolist()
        text = pycocotools.mask.encode(mask)["counts"]
        counts.append([text, text.decode(), [0] * int(flat[0]) + runs][place % 3])
    assert count_pixels(counts).tolist() == [height * width for height, width in sizes]
    (text,) = encode(windows([np.eye(40) > 0], [(3, 5)]), (60, 50)).counts()
    assert [one == 3000 for one in count_pixels([text, text[:-3], b"", "~~"]).tolist()] == [True, False, False, False]
    assert count_pixels([]).tolist() == []
