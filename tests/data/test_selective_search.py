"""Selective search is a function of pixels and settings, and is done once."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lineage.data.proposals.selective_search import SelectiveSearch
from lineage.data.proposals.source import ProposalsError
from lineage.data.shapes.dataset import Shapes
from tests.data.test_proposals import overlap

SHAPES = Shapes(seed=5, length=3, size=96)


def finder(cache: Path, mode: str = "fast", width: int = 150) -> SelectiveSearch:
    return SelectiveSearch(SHAPES, mode=mode, width=width, min_size=8, cache=str(cache))


def test_a_second_call_and_another_process_find_the_same_in_the_same_order(tmp_path: Path) -> None:
    here = [finder(tmp_path / "a")(SHAPES[index]) for index in (0, 1)]
    again = finder(tmp_path / "b")(SHAPES[1])
    assert np.array_equal(here[1], again)
    code = (
        "from tests.data.test_selective_search import *; "
        f"np.save({str(tmp_path / 'there.npy')!r}, finder(Path({str(tmp_path / 'c')!r}))(SHAPES[1]))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
    assert np.array_equal(again, np.load(tmp_path / "there.npy"))


def test_regions_lie_in_the_picture_and_find_most_objects(tmp_path: Path) -> None:
    hit = total = 0
    for index in range(3):
        sample = SHAPES[index]
        boxes = finder(tmp_path)(sample)
        assert boxes.dtype == np.float32
        assert ((boxes >= 0) & (boxes <= 96.001)).all()
        assert (boxes[:, 2:] - boxes[:, :2]).min() >= 8 * 96 / 150 - 1e-3
        objects = sample.boxes.numpy()[~sample.crowd.numpy()]
        hit, total = hit + (overlap(objects, boxes).max(1) >= 0.5).sum(), total + len(objects)
    assert hit / total > 0.6


def test_what_was_found_is_read_cached_per_picture_and_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = finder(tmp_path)(SHAPES[0])
    finder(tmp_path, width=120)(SHAPES[0])
    assert len(list(tmp_path.rglob("*.npy"))) == 2
    assert not list(tmp_path.rglob("*.partial"))
    monkeypatch.setattr(SelectiveSearch, "search", lambda *_, **__: pytest.fail("searched again"))
    assert np.array_equal(finder(tmp_path)(SHAPES[0]), first)


def test_a_damaged_file_is_made_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = finder(tmp_path)(SHAPES[0])
    (file,) = tmp_path.rglob("*.npy")
    file.write_bytes(file.read_bytes()[:60])
    with caplog.at_level(logging.WARNING):
        assert np.array_equal(finder(tmp_path)(SHAPES[0]), first)
    assert "damaged" in caplog.text
    assert np.array_equal(np.load(file), first)


def test_mistakes_are_told(tmp_path: Path) -> None:
    with pytest.raises(ProposalsError, match=r"proposals.mode=best: selective search is fast or quality"):
        finder(tmp_path, mode="best")
    (tmp_path / "file").write_text("")
    with pytest.raises(ProposalsError, match=r"cannot be kept there .* paths\.cache=DIR"):
        finder(tmp_path / "file")(SHAPES[0])
