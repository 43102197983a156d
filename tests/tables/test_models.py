"""The facts about models are current: sizes are those of the models and of what was published, the page shows them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torchvision

from lineage.cli.main import main
from lineage.run.measure_models import PAGE, count_parameters
from lineage.tables import model_facts
from lineage.tables.format import model_list
from lineage.tables.model_facts import Variant
from lineage.tables.table import TableError

ROOT = Path(__file__).parents[2]
FACTS = model_facts.load(ROOT / "experiments")
VARIANTS = [variant for facts in FACTS for variant in facts.variants]
OPTIONS = {path.stem for path in (ROOT / "conf/model").glob("*.yaml")}


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_a_model_has_the_size_it_says(variant: Variant) -> None:
    assert count_parameters(variant.choices.split()) == variant.parameters, "run `lineage models --write`"


def test_facts_are_of_a_model_that_exists() -> None:
    assert len(FACTS) > 40
    assert sorted({facts.option for facts in FACTS} - OPTIONS) == []


def test_a_new_model_needs_no_facts_and_gets_them_by_a_command(tmp_path: Path) -> None:
    conf, experiments = tmp_path / "conf", tmp_path / "experiments"
    (conf / "model").mkdir(parents=True)
    (conf / "model/fresh.yaml").write_text("# a new head: arXiv:2222.22222, section 3\n")
    (conf / "model/odd.yaml").write_text("defaults: [fresh]\n")
    assert model_facts.load(experiments) == []
    new = model_facts.find_unmeasured(experiments, [conf])
    assert [*new] == ["fresh", "odd"]
    assert model_list.text([], [*new]).splitlines()[0] == "fresh        new  model=fresh"
    for config in new.values():
        model_facts.write_parameters(model_facts.create(experiments, config), [1_500_000])
    (odd, fresh) = model_facts.load(experiments)
    assert (odd.paper, fresh.paper) == ("-", "arXiv:2222.22222")
    assert fresh.variants == [Variant("fresh", "model=fresh", "arXiv:2222.22222", 1_500_000, "-")]
    assert model_facts.find_unmeasured(experiments, [conf]) == {}


def test_the_page_is_current() -> None:
    """It shows the models that have facts; a new model is not on it."""
    assert (ROOT / PAGE).read_text() == model_list.markdown(FACTS), "run `lineage models --write`"


def test_the_tests_it_names_exist() -> None:
    named = {path for variant in VARIANTS for path in re.findall(r"tests/[\w/]+\.py", variant.parity)}
    assert named
    assert not [name for name in named if not (ROOT / name).is_file()]


CODES, MASK, CLASS_ZERO = 4 * 1025, 257, 9 * 2305  # that torchvision has of background, or of an empty class
TRAINED = "backbone.norm=bn backbone.frozen_stages=0"  # the v2 recipes train batch norms
TORCHVISION = {  # variant -> published weights, what makes ours alike, what theirs has besides
    "Faster R-CNN, R50-FPN": ("FasterRCNN_ResNet50_FPN", "", CODES),
    "Faster R-CNN v2, R50-FPN": ("FasterRCNN_ResNet50_FPN_V2", TRAINED, CODES),
    "Faster R-CNN, MobileNetV3-Large-FPN": ("FasterRCNN_MobileNet_V3_Large_FPN", "", CODES),
    "Faster R-CNN, MobileNetV3-Large-320-FPN": ("FasterRCNN_MobileNet_V3_Large_320_FPN", "", CODES),
    "Mask R-CNN, R50-FPN": ("MaskRCNN_ResNet50_FPN", "", CODES + MASK),
    "Mask R-CNN v2, R50-FPN": ("MaskRCNN_ResNet50_FPN_V2", TRAINED, CODES + MASK),
    "Keypoint R-CNN, R50-FPN": ("KeypointRCNN_ResNet50_FPN", "", CODES),
    "RetinaNet, R50-FPN": ("RetinaNet_ResNet50_FPN", "model.neck.top_block.source=P5", CLASS_ZERO),
    "RetinaNet v2, R50-FPN": ("RetinaNet_ResNet50_FPN_V2", TRAINED, CLASS_ZERO),
}
BY_NAME = {variant.name: variant for variant in VARIANTS}


@pytest.mark.parametrize("name", TORCHVISION)
def test_sizes_are_those_torchvision_publishes(name: str) -> None:
    weights, alike, besides = TORCHVISION[name]
    published = torchvision.models.get_weight(f"{weights}_Weights.COCO_V1").meta["num_params"]
    assert BY_NAME[name].counted["torchvision"] == published
    classes = [] if "dataset.classes" in BY_NAME[name].choices else ["dataset.classes=90"]
    assert count_parameters([*BY_NAME[name].choices.split(), *classes, *alike.split()]) + besides == published


def test_no_two_stage_detector_of_torchvision_is_left_out() -> None:
    ours = {weights.replace("_", "").lower() for weights, _, _ in TORCHVISION.values()}
    theirs = torchvision.models.list_models(module=torchvision.models.detection, exclude=("fcos*", "ssd*"))
    assert {name.replace("_", "") for name in theirs} == ours


OTHERS = {  # by source: how it counts
    "arXiv:2005.12872": (count_parameters, 1e6),  # table 1, detectron2's detectors, in millions
    "mmdetection": (  # docs of get_flops.py
        lambda choices: count_parameters([*choices, "backbone.norm=bn"], trainable=True),
        1e4,
    ),
}


@pytest.mark.parametrize(
    ("variant", "source"),
    [(variant, source) for variant in VARIANTS for source in variant.counted if source != "torchvision"],
)
def test_sizes_are_those_that_others_count(variant: Variant, source: str) -> None:
    count, unit = OTHERS[source]
    assert round(count(variant.choices.split()) / unit) == round(variant.counted[source] / unit)


def test_the_command_prints_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(any(line.startswith(f"{variant.name} ") for line in lines) for variant in VARIANTS)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("paper: p\nvariants: [{name: a, parameters: 1, parity: t, published: {mine: 1}}]\n",
         r"variants\[0\].published.mine: unknown key. There are: paper"),
        ("paper: p\nvariants: [{name: a, parameters: 1, parity: t, sorce: x}]\n", r"variants\[0\].sorce: unknown key"),
        ("paper: p\nvariants: [{name: a, parameters: 1}]\n", r"variants\[0\].parity: missing"),
        ("paper: p\nvariants: [{parity: a, parameters: 1}]\n", r"variants\[0\].name: missing"),
        ("variants: [{name: a, parameters: 1, parity: t}]\n", "paper: missing"),
        ("paper: p\n", "variants: missing"),
        ("paper: p\nvariant: x\n", "variant: unknown key. Did you mean variants"),
        ("paper: p\nvariants: [{name: a, parameters: 1, parity: t}]\nfamily: {year: 2017, name: a}\n",
         "family.idea: missing"),
        ("paper: p\nvariants: [{name: a, parameters: 1, parity: t}]\nfamily: {year: 2017, name: a, idea: b, form: c}\n",
         "family.form: unknown key. Did you mean from"),
        ("paper: p\nvariants: [{name: a, parameters: 1, parity: t}]\n"
         "learning: {mask/AP: {untrained: 0.1, reached: 2, flor: 1}}\n", "learning.mask/AP.flor: unknown key"),
        ("paper: p\nvariants: [{name: a, parameters: 1, parity: t}]\nlearning: {mask/AP: {untrained: 0.1, floor: 1}}\n",
         "learning.mask/AP.reached: missing"),
    ],
)  # fmt: skip
def test_facts_with_wrong_keys_are_refused(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models/a.yaml").write_text(text)
    with pytest.raises(TableError, match=f"a.yaml: {says}"):
        model_facts.load(tmp_path)


def test_every_fact_arrives(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models/a.yaml").write_text(
        "paper: p\nfamily: {year: 2017, name: A, idea: I, from: b}\n"
        "learning: {with: roi=pool, mask/AP: {untrained: 0.1, reached: 2.5, floor: 1.25}}\n"
        "variants:\n- {name: v, with: x=1, parameters: 7, parity: t, counted: {mine: 1.5}, published: {paper: 3}}\n"
    )
    (facts,) = model_facts.load(tmp_path)
    variant = Variant("v", "model=a x=1", "p", 7, "t", published={"paper": "3"}, counted={"mine": 1.5})
    assert facts.variants == [variant]
    assert facts.learning == model_facts.Learning("roi=pool", {"mask/AP": model_facts.Measure(0.1, 2.5, 1.25)})
    assert facts.family == model_facts.Family(2017, "A", "I", "b")
