"""Commands in messages can be pasted: a path with a blank is one word of the shell, and one value of an override."""

from __future__ import annotations

import argparse
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lineage.cli import latency
from lineage.cli.data.main import main as data
from lineage.config.build import ConfigError
from lineage.data.annotations import mmap_index
from lineage.data.annotations.image_ids import check_categories
from lineage.data.annotations.validate import DatasetError
from lineage.data.formats import coco
from lineage.data.samples.dataset import DatasetMeta
from lineage.eval.files.ground_truth import read_ground_truth
from lineage.eval.files.json_file import ResultError
from lineage.results.overrides import Override
from lineage.run.finetune.layout import read_layout
from lineage.run.inference.calibrate import open_results
from tests.data import folder


@pytest.fixture
def place(tmp_path: Path) -> Path:
    path = tmp_path / "my cells (1)"
    path.mkdir()
    return path


def words_of(act: Callable[[], object], error: type[Exception], after: str = "\n") -> list[str]:
    """Return the words of the end of a message, as a shell splits them."""
    with pytest.raises(error) as raised:
        act()
    return shlex.split(str(raised.value).rpartition(after)[2].replace("`", " ").rstrip("."))


@pytest.mark.parametrize("changes", [{"id": 1.5}, {"id": 2}, {"category_id": 77}])
def test_a_broken_ground_truth(place: Path, changes: dict[str, object]) -> None:
    content = folder.content()
    content["annotations"][0] |= changes
    file = place / "val.json"
    file.write_text(json.dumps(content))
    words = words_of(lambda: read_ground_truth(file), ResultError)
    assert words[-5:] == ["lineage", "data", "check", "--annotations", str(file)]


def test_an_exported_file_that_is_missing(place: Path) -> None:
    file = str(place / "a b.onnx")
    args = argparse.Namespace(weights=file, size=None)
    words = words_of(lambda: latency.prepare(args, 1, torch.device("cpu")), ConfigError)
    assert words[words.index("export") :][:3] == ["export", "RUN", file]


def test_a_folder_that_is_not_empty(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "notes.txt").write_text("")
    assert data(["make", "shapes", str(place)]) == 1
    assert shlex.split(capsys.readouterr().err.splitlines()[-1]) == ["rm", "-r", str(place)]


def test_a_damaged_index(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write(place, folder.content())
    dataset = coco.load(annotations="train.json", root=str(place))
    monkeypatch.setattr(mmap_index, "load_index", lambda path: None)
    dataset.index_path = place / "index.bin"
    words = words_of(lambda: list(dataset.find_defects(lambda records: records)), DatasetError)
    assert words[-2:] == ["rm", str(place / "index.bin")]


def test_classes_of_another_file(place: Path) -> None:
    file = place / "val.json"
    meta = DatasetMeta(classes=("cat",), category_ids=(3,))
    words = words_of(lambda: check_categories([{"id": 4, "name": "cat"}], file, meta), DatasetError, "add ")
    assert words == ["--classes", str(file)]


def test_a_checkpoint_in_the_place_of_results(place: Path) -> None:
    file = place / "step-1.ckpt"
    words = words_of(lambda: open_results(file, None, None, ()), ConfigError)
    (weights,) = (word for word in words if word.startswith("weights="))
    assert Override.parse(weights).value == f"'{file}'"


def test_the_layout_of_a_named_dataset(place: Path) -> None:
    for part in ("image", "annos"):
        (place / "train" / part).mkdir(parents=True)
    words = words_of(lambda: read_layout(place), ConfigError)
    assert words[-1] == f"dataset.root='{place}'"


@pytest.mark.parametrize("has_script", [True, False])
def test_the_command_of_a_training_exists_where_it_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], has_script: bool
) -> None:
    """`python train.py` is printed in a folder that has that file, `lineage train` in any other."""
    if has_script:
        (tmp_path / "train.py").touch()
    monkeypatch.chdir(tmp_path)
    assert data(["make", "shapes", "drawn", "--images", "4", "--val", "4", "--size", "64x64"]) == 0
    folder.age(tmp_path / "drawn")
    assert data(["check", "drawn"]) == 0
    file = tmp_path / "drawn/annotations/instances_train2017.json"
    assert data(["split", str(file), "--val", "0.5"]) == 0
    trainings = re.findall(r"^(?:train:|next|) +(.*) (?:dataset|finetune)=", capsys.readouterr().out, re.MULTILINE)
    assert trainings == ["python train.py" if has_script else "lineage train"] * 3


@pytest.mark.parametrize("act", ["layout", "checkpoint"])
def test_an_error_names_a_training_that_exists(place: Path, monkeypatch: pytest.MonkeyPatch, act: str) -> None:
    (place / "train/image").mkdir(parents=True)
    (place / "train/annos").mkdir()
    monkeypatch.chdir(place)
    with pytest.raises(ConfigError) as raised:
        read_layout(place) if act == "layout" else open_results(place / "step-1.ckpt", None, None, ())
    assert "lineage train " in str(raised.value)
    assert "train.py" not in str(raised.value)
