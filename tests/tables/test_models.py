"""The table of models is complete, current, and its sizes are those of the models and of what was published."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision

from lineage.cli.main import main
from lineage.cli.models import PAGE, PREFACE, add, parameters, unlisted
from lineage.config.build import build
from lineage.run.restore import composed
from lineage.tables import model_list
from lineage.tables.table import TableError

ROOT = Path(__file__).parents[2]
KNOWN = model_list.load(ROOT / "experiments")


@pytest.mark.parametrize("model", KNOWN, ids=lambda model: model.name)
def test_a_model_has_the_size_it_says(model: model_list.Model) -> None:
    assert parameters(model.choices.split()) == model.parameters, "run `lineage models --write`"


def test_every_model_is_listed() -> None:
    absent = unlisted(ROOT / "experiments", ROOT / "conf" / "model")
    assert not absent, f"{', '.join(absent)}: run `lineage models --write`"


def test_a_new_model_gets_a_row(tmp_path: Path) -> None:
    experiments, conf = tmp_path / "experiments", tmp_path / "conf"
    experiments.mkdir()
    conf.mkdir()
    (experiments / model_list.FILE).write_text("- {name: a, with: model=old, paper: p, parameters: 1, parity: t}\n")
    (conf / "old.yaml").write_text("# of arXiv:1111.11111\n")
    (conf / "fresh.yaml").write_text("# a new head: arXiv:2222.22222, section 3\n")
    add(experiments, conf)
    assert [(one.choices, one.paper) for one in model_list.load(experiments)][1:] == [
        ("model=fresh", "arXiv:2222.22222")
    ]
    (conf / "odd.yaml").write_text("# nobody's\n")
    with pytest.raises(TableError, match="names no paper"):
        add(experiments, conf)


def test_the_page_is_current() -> None:
    assert (ROOT / PAGE).read_text() == model_list.markdown(KNOWN, PREFACE), "run `lineage models --write`"


def test_the_tests_it_names_exist() -> None:
    named = {word for model in KNOWN for word in model.parity.replace(";", "").split() if word.startswith("tests/")}
    assert named
    assert not [name for name in named if not (ROOT / name).is_file()]


CODES, MASK, CLASS_ZERO = 4 * 1025, 257, 9 * 2305  # that torchvision has of background, or of an empty class
TRAINED = "backbone.norm=bn backbone.frozen_stages=0"  # the v2 recipes train batch norms
TORCHVISION = {  # row -> published weights, what makes ours alike, what theirs has besides
    "Faster R-CNN, R50-FPN": ("FasterRCNN_ResNet50_FPN", "", CODES),
    "Faster R-CNN v2, R50-FPN": ("FasterRCNN_ResNet50_FPN_V2", TRAINED, CODES),
    "Faster R-CNN, MobileNetV3-Large-FPN": ("FasterRCNN_MobileNet_V3_Large_FPN", "", CODES),
    "Faster R-CNN, MobileNetV3-Large-320-FPN": ("FasterRCNN_MobileNet_V3_Large_320_FPN", "", CODES),
    "Mask R-CNN, R50-FPN": ("MaskRCNN_ResNet50_FPN", "", CODES + MASK),
    "Mask R-CNN v2, R50-FPN": ("MaskRCNN_ResNet50_FPN_V2", TRAINED, CODES + MASK),
    "Keypoint R-CNN, R50-FPN": ("KeypointRCNN_ResNet50_FPN", "", CODES),
    "RetinaNet, R50-FPN": ("RetinaNet_ResNet50_FPN", "model.neck.top.source=P5", CLASS_ZERO),
    "RetinaNet v2, R50-FPN": ("RetinaNet_ResNet50_FPN_V2", TRAINED, CLASS_ZERO),
}
BY_NAME = {model.name: model for model in KNOWN}


@pytest.mark.parametrize("name", TORCHVISION)
def test_sizes_are_those_torchvision_publishes(name: str) -> None:
    weights, alike, besides = TORCHVISION[name]
    published = torchvision.models.get_weight(f"{weights}_Weights.COCO_V1").meta["num_params"]
    assert BY_NAME[name].counted["torchvision"] == published
    classes = [] if "dataset.classes" in BY_NAME[name].choices else ["dataset.classes=90"]
    assert parameters([*BY_NAME[name].choices.split(), *classes, *alike.split()]) + besides == published


def test_no_two_stage_detector_of_torchvision_is_left_out() -> None:
    there = {weights.replace("_", "").lower() for weights, _, _ in TORCHVISION.values()}
    known = torchvision.models.list_models(module=torchvision.models.detection, exclude=("fcos*", "ssd*"))
    assert {name.replace("_", "") for name in known} == there


def trainable(choices: list[str]) -> int:
    config = composed(["tier=paper", "dataset.classes=80", "backbone.weights=later", *choices])
    with torch.device("meta"):
        return sum(one.numel() for one in build(config.model).parameters() if one.requires_grad)


OTHERS = {  # by source: how it counts
    "arXiv:2005.12872": (lambda choices: parameters(choices), 1e6),  # table 1, detectron2's detectors, in millions
    "mmdetection": (lambda choices: trainable([*choices, "backbone.norm=bn"]), 1e4),  # docs of get_flops.py
}


@pytest.mark.parametrize(
    ("model", "source"), [(model, source) for model in KNOWN for source in model.counted if source != "torchvision"]
)
def test_sizes_are_those_that_others_count(model: model_list.Model, source: str) -> None:
    count, unit = OTHERS[source]
    assert round(count(model.choices.split()) / unit) == round(model.counted[source] / unit)


def test_the_command_prints_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(KNOWN)


def test_a_code_base_nobody_knows(tmp_path: Path) -> None:
    row = "- {name: a, with: model=a, paper: p, parameters: 1, parity: t, published: {mine: 1}}"
    (tmp_path / model_list.FILE).write_text(row)
    with pytest.raises(TableError, match="`published` names one of paper"):
        model_list.load(tmp_path)
