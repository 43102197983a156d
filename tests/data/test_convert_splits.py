"""The folders of a file name its split, whichever tool wrote it; its own name does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from lineage.data.convert import labelme, voc_folder, yolo
from lineage.data.convert.split_names import find_split

FOLDERS = {"train": "train", "My-Validation": "val", "testing/deep": "test", "train/valid": "val", "": None}


def write_labelme(path: Path) -> None:
    path.with_suffix(".json").write_text(json.dumps({"shapes": [], "imagePath": path.name}))


def write_voc(path: Path) -> None:
    path.with_suffix(".xml").write_text(f"<annotation><filename>{path.name}</filename></annotation>")


def write_yolo(path: Path) -> None:
    path.with_suffix(".txt").write_text("")


@pytest.mark.parametrize(("tool", "write"), [(labelme, write_labelme), (voc_folder, write_voc), (yolo, write_yolo)])
def test_the_folders_of_a_file_name_its_split(tmp_path: Path, tool: ModuleType, write: Callable[[Path], None]) -> None:
    (tmp_path / "classes.txt").write_text("cat\n")
    for place in FOLDERS:
        path = tmp_path / place / "test_7.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.arange(600, dtype=np.uint8).reshape(20, 30)).save(path)
        write(path)
    splits = {image.path.parent.relative_to(tmp_path).as_posix(): image.split for image in tool.read(tmp_path).images}
    assert splits == {place or ".": split for place, split in FOLDERS.items()}


def test_the_last_word_that_names_a_split_counts() -> None:
    for parts, split in (
        (["data", "images", "trn"], "train"), (["train2017"], "train"), (["val_train"], "train"), (["retrain"], None),
        (["trainval", "dev"], "val"), ([], None),
    ):  # fmt: skip
        assert find_split(parts) == split
