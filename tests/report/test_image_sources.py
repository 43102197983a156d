"""Sources of pictures that are no files get the reason."""

from __future__ import annotations

import os

import pytest

from lineage.report.image_sources import Unreadable, iter_pictures


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
