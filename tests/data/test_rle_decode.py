from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as rle

from lineage.data.samples.rle_decode import decode_counts, rasterize


@pytest.mark.parametrize("counts", [[3, 4], [400, 1], [-1, 392], "", "0"])
def test_a_run_length_that_does_not_fill_its_canvas_is_an_error(counts: list[int] | str) -> None:
    with pytest.raises(ValueError, match="of a canvas of 391"):
        decode_counts([{"size": [17, 23], "counts": counts}], (17, 23))


def test_a_run_length_of_another_size_is_an_error() -> None:
    with pytest.raises(ValueError, match="does not belong"):
        decode_counts([{"size": [23, 17], "counts": [391]}], (17, 23))


@pytest.mark.parametrize("seed", range(10))
def test_masks_drawn_together_equal_pycocotools(seed: int) -> None:
    """In all notations side by side; among them empty, full, columns that touch, and runs over a column's end."""
    random = np.random.default_rng(seed)
    size = int(random.integers(3, 30)), int(random.integers(3, 30))
    masks = [np.zeros(size, np.uint8), np.ones(size, np.uint8), *(random.random((5, *size)) < 0.6).astype(np.uint8)]
    masks += [np.pad(mask[2:, 1:], ((2, 0), (0, 1))) for mask in masks]
    masks = [masks[i] for i in random.permutation(len(masks))]
    encoded = [rle.encode(np.asfortranarray(mask)) for mask in masks]
    encoded[3]["counts"] = encoded[3]["counts"].decode()
    for with_list in (False, True):
        if with_list:
            encoded[5]["counts"] = decode_counts([encoded[5]], size)[0].tolist()
        pixels, windows = rasterize(*decode_counts(encoded, size), size)
        canvas, start = np.zeros((len(masks), *size), np.uint8), 0
        for one, (x, y, w, h) in zip(canvas, windows.tolist(), strict=True):
            one[y : y + h, x : x + w] = pixels[start : start + w * h].reshape(h, w)
            start += w * h
        assert start == len(pixels)
        assert np.array_equal(canvas, masks)


def test_no_masks() -> None:
    pixels, windows = rasterize(*decode_counts([], (17, 23)), (17, 23))
    assert pixels.shape == (0,)
    assert windows.shape == (0, 4)
