"""Sources of pictures: the reason of one that is no file, and the first frame of an image file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lineage.report.image_sources import Picture, Unreadable, iter_pictures


@pytest.mark.parametrize(
    ("source", "name", "says"),
    [
        ("https://example.com/a.jpg", "https://example.com/a.jpg", "is a URL; pictures are read from disk"),
        ("-", "-", "is a pipe or a device"),
        (os.devnull, os.devnull, "is a pipe or a device"),
        ("nowhere/a.jpg", "nowhere/a.jpg", "no such file"),
    ],
)
def test_what_is_no_file_is_named_for_what_it_is(source: str, name: str, says: str) -> None:
    (unreadable,) = iter_pictures([source], every=1)
    assert isinstance(unreadable, Unreadable)
    assert unreadable.name == name
    assert unreadable.reason.startswith(says)


@pytest.mark.parametrize("suffix", ["gif", "tif"])
def test_of_several_frames_in_an_image_file_the_first_is_read(tmp_path: Path, suffix: str) -> None:
    first, second = (Image.new("RGB", (8, 6), colour) for colour in ("white", "black"))
    path = tmp_path / f"a.{suffix}"
    first.save(path, save_all=True, append_images=[second])
    (picture,) = iter_pictures([str(path)], every=1)
    assert isinstance(picture, Picture)
    np.testing.assert_array_equal(picture.pixels, np.full((6, 8, 3), 255))
