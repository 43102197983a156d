"""Drawn samples from files: the same as drawn, drawn again if a file is damaged, and never a reason to stop."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from lineage.data.samples.sample import Sample
from lineage.data.shapes import drawn_files
from lineage.data.shapes.dataset import Shapes

SETTINGS = [{}, {"stuff": True}, {"only": ["figure", "disc"]}, {"size": [[64, 96], [96, 64]]}, {"objects": 0}]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LINEAGE_CACHE", str(tmp_path))
    return tmp_path / "shapes"


def assert_equal(sample: Sample, other: Sample) -> None:
    for name, value, same in zip(Sample._fields, sample, other, strict=True):
        assert type(value) is type(same), name
        if isinstance(value, torch.Tensor):
            assert value.dtype == same.dtype, name
            assert torch.equal(value, same), name
        else:
            assert value == same, name
    assert torch.equal(sample.masks.windows, other.masks.windows)
    assert sample.masks.canvas_size == other.masks.canvas_size


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_stored_sample_is_the_drawn_one(settings: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    first = [Shapes(seed=3, length=4, **settings)[index] for index in range(4)]
    monkeypatch.setattr(Shapes, "_draw", lambda *_: pytest.fail("drawn again"))
    again = Shapes(seed=3, length=9, **settings)  # the length is not part of an image
    for index, sample in enumerate(first):
        assert_equal(again[index], sample)
    again[0].image.add_(1)  # what transforms may do
    assert_equal(again[0], first[0])


def test_other_images_have_other_files(folder: Path) -> None:
    for settings in ({}, {"objects": 3.0}, {"size": 96}, {"stuff": True}):
        Shapes(seed=3, length=1, **settings)[0]
    Shapes(seed=4, length=1)[0]
    assert len(list(folder.iterdir())) == 5


@pytest.mark.parametrize("damage", [lambda content: content[:-9], lambda content: content[:99] + b"?" + content[100:],
                                    lambda content: b"", lambda content: b"none" + content[4:]])  # fmt: skip
def test_a_damaged_file_is_drawn_again(folder: Path, damage) -> None:
    sample = Shapes(seed=3, length=1)[0]
    (file,) = folder.glob("*/*")
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    assert_equal(Shapes(seed=3, length=1)[0], sample)
    assert file.read_bytes() == whole


def test_images_are_drawn_where_nothing_can_be_stored(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = Shapes(seed=3, length=1)[0]
    monkeypatch.setattr(drawn_files, "LARGEST", 3 * 128 * 128 * 5)
    for name in folder.iterdir():
        for file in name.iterdir():
            file.unlink()
        name.rmdir()
    assert_equal(Shapes(seed=3, length=6)[0], sample)
    assert list(folder.iterdir()) == []
    folder.rmdir()
    folder.write_text("not a folder")
    assert_equal(Shapes(seed=3, length=5)[0], sample)


def test_the_split_unused_for_longest_makes_room(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawn_files, "FOLDERS", 2)
    folders = []
    for seed in (1, 2):
        dataset = Shapes(seed=seed, length=2)
        dataset[0]
        folders.append(dataset.files.folder)
    for age, path in ((200, folders[0]), (300, folders[1])):
        os.utime(path, (path.stat().st_mtime - age,) * 2)
    dataset = Shapes(seed=2, length=2)  # used again
    Shapes(seed=3, length=1)[0]
    assert not folders[0].exists()
    assert folders[1].exists()
    assert len(list(folder.iterdir())) == 2
