"""Image files are looked at once, as long as the times of their folders stay and are old enough to be trusted."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from lineage.data.annotations import content_hash, validate
from lineage.data.annotations.file_check_cache import find_file_defects
from lineage.data.annotations.indexed_dataset import IndexedDataset
from lineage.data.annotations.paths import DatasetPaths
from lineage.data.formats.coco import load


def open_folder(root: Path) -> IndexedDataset:
    return load(root=str(root), images="images", annotations=str(root / "train.json"))


@pytest.mark.parametrize(("age", "is_stored"), [(1.9, False), (2.0, False), (2.5, True)])
def test_a_folder_is_looked_at_again_until_its_time_is_two_seconds_old(
    index_cache: Path, root: Path, monkeypatch: pytest.MonkeyPatch, age: float, is_stored: bool
) -> None:
    """A file that is added within the resolution of a folder's time leaves that time as it was."""
    data = open_folder(root)
    for memo in index_cache.glob("*.seen"):
        memo.unlink()
    now = 1_700_000_000.0
    monkeypatch.setattr("lineage.data.annotations.file_check_cache.time.time", lambda: now)
    for path in (*(root / "images").iterdir(), root / "images"):
        os.utime(path, (now - age,) * 2)
    looks: list[int] = []

    def sample(records: Iterable[Any], count: int, paths: object) -> list[Any]:
        looks.append(len(list(records)))
        return []

    monkeypatch.setattr(validate, "sample_image_files", sample)
    paths = DatasetPaths([root / "train.json"], root / "images", root / "train.json")
    for _ in range(2):
        assert find_file_defects(data.columns, paths, "train") == []
    assert looks == ([6] if is_stored else [6, 6])
    find_file_defects(data.columns, paths, "val")
    assert len(looks) == (2 if is_stored else 3), "another dataset of the folder is looked at by itself"


def test_an_image_that_is_damaged_after_the_first_use_is_refused(root: Path) -> None:
    """Writing into a file leaves the time of its folder as it was; training died at its first evaluation."""
    open_folder(root)
    (root / "images/4.png").write_text("no image")
    with pytest.raises(validate.DatasetError, match=r"image 40 \(4\.png\)"):
        open_folder(root)


def test_a_memo_that_says_nothing_is_no_answer_and_defects_are_not_remembered(
    index_cache: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = open_folder(root)
    (memo,) = index_cache.glob("*.seen")
    memo.unlink()
    defects: list[Any] = []
    monkeypatch.setattr(validate, "sample_image_files", lambda records, count, paths: list(records)[:0] + defects)
    monkeypatch.setattr(content_hash, "SETTLED", -60.0)
    paths = DatasetPaths([root / "train.json"], root / "images", root / "train.json")
    assert find_file_defects(data.columns, paths, "train") == []
    (memo,) = index_cache.glob("*.seen")
    defects.append("a defect")
    assert find_file_defects(data.columns, paths, "train") == []
    earlier = json.dumps({str(root / "images"): 5})
    for text in ("{}", "[]", "null", "no json", earlier, '{"folders": {}, "files": ""}'):
        memo.write_text(text)
        assert find_file_defects(data.columns, paths, "train") == ["a defect"]
        assert memo.read_text() == text


def test_the_command_that_lists_all_defects_can_be_pasted() -> None:
    command = validate.check_command(Path("/data/Schäden 3/a.json"), Path("/data/Schäden 3/train2017"))
    assert shlex.split(command)[-4:] == [
        "--images", "/data/Schäden 3/train2017", "--annotations", "/data/Schäden 3/a.json",
    ]  # fmt: skip
