"""A second task in the same trainer: runs of videos, what they leave, and parts of other tasks that are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from torch import nn

from lineage.config.build import ConfigError
from lineage.data.frames import moving_shapes
from lineage.data.shapes.dataset import Shapes
from lineage.run.class_names import default_meta
from lineage.run.finetune.facts import read_facts
from lineage.run.restore import build_views
from lineage.run.task import check_task
from tests.models.compose import config
from tests.train import tiny

SMALL = ("tier=smoke", "dataset=moving_shapes", "dataset.train.length=4", "dataset.val.length=4", "dataset.val.pairs=2",
         "data.workers=0")  # fmt: skip


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        (["model=mask_rcnn"], "model"),
        (["model=dvtsr", "evaluator=coco"], "evaluator"),
        (["model=dvtsr", "tta=flip"], "tta"),
    ],
)
def test_parts_of_another_task_are_refused(overrides: list[str], key: str) -> None:
    videos = moving_shapes.load(
        seed=0, length=1, pairs=1, time=0.5, size=[32, 32], objects=1, speed=1.0, acceleration=0.0, spin=0.0
    )
    with pytest.raises(ConfigError, match=f"^{key} reads annotated images, and dataset=moving_shapes has videos"):
        check_task(config("dataset=moving_shapes", *overrides), videos)
    with pytest.raises(ConfigError, match=r"^model reads videos, and dataset=shapes has annotated images"):
        check_task(config("dataset=shapes", "model=frame_average"), Shapes(seed=0, length=1))


def test_views_of_another_task_are_refused() -> None:
    with pytest.raises(ConfigError, match="tta views videos, the model reads annotated images"):
        build_views(config("dataset=moving_shapes", "model=dvtsr", "tta=ensemble"), nn.Identity(), default_meta(3))


def test_videos_have_no_recipe(tmp_path: Path) -> None:
    for number in range(20):
        Image.new("RGB", (48, 48), (number,) * 3).save(tmp_path / f"{number:02d}.png")
    with pytest.raises(ConfigError, match="has videos, and recipes are of detectors"):
        read_facts(["dataset=clips", f"dataset.root={tmp_path}"])


def test_a_video_of_squares_has_one_side() -> None:
    options = {
        "seed": 0,
        "length": 1,
        "pairs": 1,
        "time": 0.5,
        "objects": 1,
        "speed": 1.0,
        "acceleration": 0.0,
        "spin": 0.0,
    }
    assert moving_shapes.load(size=48, **options).sizes.tolist() == [[48, 48]]


def test_a_network_trains_and_its_frames_are_scored(tmp_path: Path) -> None:
    printed = tiny.train(tmp_path, "model=dvtsr", *SMALL)
    assert "4 steps = " in printed
    assert "reference:" not in printed  # of detectors
    (entry,) = (tmp_path / "results").rglob("*.json")
    record = json.loads(entry.read_text())
    assert record["steps"] == 4
    assert {*record["metrics"]} == {"frame/PSNR", "frame/SSIM"}
    (folder,) = (tmp_path / "runs").glob("2*")
    assert {*json.loads((folder / "per_class.json").read_text())} == {"clip 000", "clip 001"}
    report = (folder / "report.html").read_text()
    assert '"headline":["frame/PSNR"]' in report.replace(" ", "")
    assert "clip 001" in report
    assert (folder / "pictures/predictions.png").is_file()


def test_a_model_without_parameters_is_only_tested(tmp_path: Path) -> None:
    tiny.train(tmp_path, "model=frame_average", *SMALL)
    (entry,) = (tmp_path / "results").rglob("*.json")
    record = json.loads(entry.read_text())
    assert (record["status"], record["steps"], record["parameters"]) == ("finished", 0, 0)
    assert record["metrics"]["frame/PSNR"] > 15
