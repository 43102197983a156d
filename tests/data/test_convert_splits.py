"""The folders of a file name its split, whichever tool wrote it; its own name does not."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from lineage.cli.data.main import main as data
from lineage.data.convert import labelme, voc_folder, yolo
from lineage.data.convert.split_names import find_split
from lineage.run.finetune.layout import read_layout

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


@pytest.mark.parametrize(("layout", "says"), [
    ("yolo", "train.json: no image has an object, so there is nothing to learn. Are their label files elsewhere?"),
    ("voc", "no file for training: no annotations were found of images in a folder called train"),
])  # fmt: skip
def test_a_training_that_cannot_begin_is_not_suggested(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], layout: str, says: str
) -> None:
    (tmp_path / "classes.txt").write_text("cat\n")
    box = "<bndbox><xmin>3</xmin><ymin>3</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
    label = {".txt": "0 0.5 0.5 0.2 0.2", ".xml": f"<annotation><object><name>cat</name>{box}</object></annotation>"}
    ending = ".txt" if layout == "yolo" else ".xml"
    for place in ("train", "valid"):
        (tmp_path / place).mkdir()
        Image.fromarray(np.arange(600, dtype=np.uint8).reshape(20, 30)).save(tmp_path / place / f"{place}.png")
    (tmp_path / "valid" / f"valid{ending}").write_text(label[ending])
    command = ["convert", str(tmp_path), "--from", layout]
    assert data(command) == 0
    output = capsys.readouterr().out
    assert output.rstrip().endswith(says)
    assert "next" not in output
    (tmp_path / "train" / f"train{ending}").write_text(label[ending])
    assert data([*command, "--overwrite"]) == 0
    words = shlex.split(capsys.readouterr().out.splitlines()[-1])
    assert words == ["python", "train.py", f"finetune={tmp_path}"]
    assert "dataset.train.annotations=train.json" in read_layout(tmp_path).overrides


def test_the_last_word_that_names_a_split_counts() -> None:
    for parts, split in (
        (["data", "images", "trn"], "train"), (["train2017"], "train"), (["val_train"], "train"), (["retrain"], None),
        (["trainval", "dev"], "val"), ([], None),
    ):  # fmt: skip
        assert find_split(parts) == split
