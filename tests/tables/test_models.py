"""The table of models is complete, current, and its sizes are those of the models and of what was published."""

from __future__ import annotations

from pathlib import Path

import pytest
import torchvision

from lineage.catalogue import PAGE, PREFACE, add, parameters, unlisted
from lineage.cli import main
from lineage.tables import models
from lineage.tables.table import TableError

ROOT = Path(__file__).parents[2]
KNOWN = models.load(ROOT / "experiments")


@pytest.mark.parametrize("model", KNOWN, ids=lambda model: model.name)
def test_a_model_has_the_size_it_says(model: models.Model) -> None:
    assert parameters(model.choices.split()) == model.parameters, "run `lineage models --write`"


def test_every_model_is_listed() -> None:
    absent = unlisted(ROOT / "experiments", ROOT / "conf" / "model")
    assert not absent, f"{', '.join(absent)}: run `lineage models --write`"


def test_a_new_model_gets_a_row(tmp_path: Path) -> None:
    experiments, conf = tmp_path / "experiments", tmp_path / "conf"
    experiments.mkdir()
    conf.mkdir()
    (experiments / models.FILE).write_text("- {name: a, with: model=old, paper: p, parameters: 1, parity: t}\n")
    (conf / "old.yaml").write_text("# of arXiv:1111.11111\n")
    (conf / "fresh.yaml").write_text("# a new head: arXiv:2222.22222, section 3\n")
    add(experiments, conf)
    assert [(one.choices, one.paper) for one in models.load(experiments)][1:] == [("model=fresh", "arXiv:2222.22222")]
    (conf / "odd.yaml").write_text("# nobody's\n")
    with pytest.raises(TableError, match="names no paper"):
        add(experiments, conf)


def test_the_page_is_current() -> None:
    assert (ROOT / PAGE).read_text() == models.markdown(KNOWN, PREFACE), "run `lineage models --write`"


def test_the_tests_it_names_exist() -> None:
    named = {word for model in KNOWN for word in model.parity.split() if word.startswith("tests/")}
    assert named
    assert not [name for name in named if not (ROOT / name).is_file()]


@pytest.mark.parametrize(
    ("weights", "choices", "background"),
    [
        ("FasterRCNN_ResNet50_FPN_Weights", "model=faster_rcnn dataset.classes=90", 4 * 1025),
        ("MaskRCNN_ResNet50_FPN_Weights", "model=mask_rcnn dataset.classes=90", 4 * 1025 + 257),
        ("KeypointRCNN_ResNet50_FPN_Weights", "model=keypoint_rcnn dataset.classes=1", 4 * 1025),
        ("RetinaNet_ResNet50_FPN_Weights", "model=retinanet dataset.classes=90 model.neck.top.source=P5", 9 * 2305),
    ],
)
def test_sizes_are_those_torchvision_publishes(weights: str, choices: str, background: int) -> None:
    """Theirs have box codes and a mask of background, too."""
    published = torchvision.models.get_weight(f"{weights}.COCO_V1").meta["num_params"]
    assert parameters(choices.split()) + background == published


def test_the_command_prints_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(KNOWN)


def test_a_code_base_nobody_knows(tmp_path: Path) -> None:
    row = "- {name: a, with: model=a, paper: p, parameters: 1, parity: t, published: {mine: 1}}"
    (tmp_path / models.FILE).write_text(row)
    with pytest.raises(TableError, match="`published` names one of paper"):
        models.load(tmp_path)
