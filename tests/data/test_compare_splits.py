"""Train and val together: classes that differ, a class of no object, images in both; in a run and in the check."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lineage.cli.data.main import main
from lineage.data.annotations.compare_splits import compare, explain_classes
from lineage.data.formats.coco import load
from lineage.data.samples.metadata import DatasetMeta
from tests.data import folder
from tests.data.folder import Content

TRAIN = DatasetMeta(("cat", "dog", "cow"), (1, 2, 3))


@pytest.mark.parametrize(("val", "parts"), [
    (DatasetMeta(("cat", "dog", "cow"), (1, 2, 3)), None),
    (DatasetMeta(("cat", "dog", "cow"), (0, 1, 2)), None),
    (DatasetMeta(("dog", "cat", "cow"), (1, 2, 3)), ["cat has the id 1 in train and 2 in val", "dog has the id 2"]),
    (DatasetMeta(("cat", "cow"), (1, 3)), ["3 and 2", "only train has dog"]),
    (DatasetMeta(("cat", "dog", "cow", "owl"), (1, 2, 3, 4)), ["only val has owl"]),
    (DatasetMeta(("Cat", "dog", "cow"), (1, 2, 3)), ["only train has cat", "only val has Cat"]),
])  # fmt: skip
def test_classes_that_differ(val: DatasetMeta, parts: list[str] | None) -> None:
    difference = explain_classes(TRAIN, val)
    assert (difference is None) == (parts is None)
    assert all(part in str(difference) for part in parts or ())


def write_splits(root: Path, change: Callable[[Content], None] = lambda content: None) -> None:
    """Two splits of three random images each, in folders and files of their own."""
    for seed, split in enumerate(("train", "val")):
        random = np.random.default_rng(seed)
        content = folder.content()
        change(content)
        (root / split).mkdir(parents=True, exist_ok=True)
        for record in content["images"]:
            Image.fromarray(random.integers(0, 256, (20, 30, 3), np.uint8)).save(root / split / record["file_name"])
        (root / f"{split}.json").write_text(json.dumps(content))


def check(root: Path) -> int:
    keys = [f"dataset.{split}.{key}={split}{end}" for split in ("train", "val")
            for key, end in (("annotations", ".json"), ("images", ""))]  # fmt: skip
    return main(["check", "coco", "--root", str(root), *keys])


def compare_folder(root: Path) -> list[str]:
    return compare(*(load(root=str(root), annotations=f"{split}.json", images=split) for split in ("train", "val")))


def test_splits_that_share_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files of one name are no evidence: 1.png of train is another picture than 1.png of val."""
    write_splits(tmp_path)
    assert compare_folder(tmp_path) == []
    assert check(tmp_path) == 0
    assert "no image is in both" in capsys.readouterr().out


def test_an_image_in_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_splits(tmp_path)
    shutil.copy(tmp_path / "train/2.png", tmp_path / "val/2.png")
    assert any("at least 1 of 3 images of val are in train too" in line for line in compare_folder(tmp_path))
    assert check(tmp_path) == 1
    assert "1 of 3 images of val are in train too" in capsys.readouterr().out
    # under another name too, at the start of a run as in the check, which reads all files of equal size
    write_splits(tmp_path)
    shutil.copy(tmp_path / "train/2.png", tmp_path / "val/3.png")
    assert any("at least 1 of 3 images of val are in train too" in line for line in compare_folder(tmp_path))
    assert check(tmp_path) == 1
    assert "1 of 3 images of val are in train too, so that its scores flatter the model: 3.png = 2.png" in (
        capsys.readouterr().out
    )


def test_one_file_for_both(tmp_path: Path) -> None:
    write_splits(tmp_path)
    dataset = load(root=str(tmp_path), annotations="val.json", images="val")
    assert "at least 3 of 3 images" in compare(dataset, dataset)[0]


def test_the_phantom_class_of_roboflow(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def add_phantom(content: Content) -> None:
        content["categories"].append({"id": 0, "name": "cells", "supercategory": "none"})

    write_splits(tmp_path, add_phantom)
    assert any("category 0, 'cells', has no object" in line for line in compare_folder(tmp_path))
    assert check(tmp_path) == 0
    assert "note: category 0, 'cells', has no object" in capsys.readouterr().out
    assert main(["check", "--annotations", str(tmp_path / "val.json"), "--images", str(tmp_path / "val")]) == 0
    assert "note: category 0, 'cells', has no object" in capsys.readouterr().out


def divide_boxes(content: Content) -> None:
    for record in content["annotations"]:
        record["bbox"] = [2 / 30, 2 / 20, 10 / 30, 8 / 20]
        record["segmentation"] = []


def equal_names(content: Content) -> None:
    for category in content["categories"]:
        category["name"] = "cat"


@pytest.mark.parametrize(("change", "says"), [
    (divide_boxes, "every box lies within the first pixel of its image"),
    (equal_names, "the categories 4, 9 are all called 'cat', and are learned as 2 classes"),
])  # fmt: skip
def test_shares_for_pixels_and_one_name_for_two_classes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Callable[[Content], None], says: str
) -> None:
    write_splits(tmp_path)
    assert compare_folder(tmp_path) == []
    write_splits(tmp_path / "odd", change)
    (note,) = compare_folder(tmp_path / "odd")
    assert note.startswith(says)
    assert check(tmp_path / "odd") == 0
    assert f"note: {says}" in capsys.readouterr().out
    file, images = tmp_path / "odd/train.json", tmp_path / "odd/train"
    assert main(["check", "--annotations", str(file), "--images", str(images)]) == 0
    assert f"note: {says.replace('4, 9', '9, 4')}" in capsys.readouterr().out  # in the order of the file


def test_a_class_that_cannot_be_learned(tmp_path: Path) -> None:
    write_splits(tmp_path)
    content = json.loads((tmp_path / "val.json").read_text())
    content["annotations"][1]["category_id"] = 9
    (tmp_path / "val.json").write_text(json.dumps(content))
    assert any("no object in train of dog, which val has" in line for line in compare_folder(tmp_path))


def test_swapped_classes_fail_the_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_splits(tmp_path)
    content = json.loads((tmp_path / "val.json").read_text())
    content["categories"] = [{"id": 4, "name": "dog"}, {"id": 9, "name": "cat"}]
    (tmp_path / "val.json").write_text(json.dumps(content))
    assert check(tmp_path) == 1
    assert "cat has the id 4 in train and 9 in val" in capsys.readouterr().out
