"""Every option of conf/model learns the embedded dataset in a minute or so of one CPU core, as a user would train it.

What each has untrained, what it reached, and the floor that it is held to: experiments/models/<option>.yaml. A model
without floors is new: it only has to train.

Three classes of large objects: a minute is enough to tell them apart. Random weights find something where SVMs are
fitted to their features, and where recall counts a hundred of the few hundred anchors of one map. Stride 32 needs 128
pixels: 96 are three cells a side.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from lineage.tables import model_facts
from tests.models.compose import DETECTORS, config
from tests.train import tiny

CHOICES = (
    "trainer=cpu", "logger=none", "data.workers=0",
    "schedule=mini_table", "schedule.steps=200", "schedule.milestones=[145,185]", "schedule.gamma=0.1",
    "schedule.warmup_steps=20", "optimizer.lr=0.0015",
    "dataset.size=[96,96]", "++dataset.kinds=3", "dataset.val.length=50",
    "++dataset.train.scales=[0.25,0.8]", "++dataset.train.objects=3.0", "++dataset.train.clutter=0.0",
    "++dataset.val.scales=[0.25,0.8]", "++dataset.val.objects=3.0", "++dataset.val.clutter=0.0",
)  # fmt: skip
UNTRAINED = ("schedule.steps=1", "schedule.milestones=[]", "optimizer.lr=0.0")
SHORT = ("schedule.steps=10", "schedule.milestones=[]")
FACTS = model_facts.load(tiny.ROOT / "experiments")
CHOICES_OF = {facts.option: facts.learning.choices.split() for facts in FACTS if facts.learning}
MEASURES = {facts.option: facts.learning.measures for facts in FACTS if facts.learning and facts.learning.measures}
NEW = sorted({*DETECTORS} - MEASURES.keys())
FITTED = ("fast_rcnn_svm", "rcnn")  # their SVMs are, whatever the features: random ones find something as well
PRECISE = ("AP50", "mAP", "PQ")  # nearly nothing by chance, unlike recall and mIoU


def train(folder: Path, option: str, *more: str) -> dict[str, float]:
    """Return the metrics of a short training."""
    tiny.train(folder, f"model={option}", *CHOICES, *CHOICES_OF.get(option, []), *more)
    (entry,) = (folder / "results").rglob("*.json")
    metrics = json.loads(entry.read_text())["metrics"]
    return {metric: round(value, 1) for metric, value in metrics.items() if value is not None}


@pytest.mark.slow
@pytest.mark.parametrize("option", MEASURES)
def test_a_model_learns_shapes(tmp_path: Path, option: str) -> None:
    metrics = train(tmp_path, option)
    floors = {metric: measure.floor for metric, measure in MEASURES[option].items()}
    assert {metric: metrics[metric] for metric, floor in floors.items() if metrics[metric] < floor} == {}


@pytest.mark.slow
@pytest.mark.parametrize("option", MEASURES)
def test_random_weights_find_no_more_than_its_facts_say(tmp_path: Path, option: str) -> None:
    metrics = train(tmp_path, option, *UNTRAINED)
    limits = {metric: measure.untrained + 1 for metric, measure in MEASURES[option].items()}
    assert {metric: metrics[metric] for metric, limit in limits.items() if metrics[metric] > limit} == {}


@pytest.mark.slow
@pytest.mark.parametrize("option", NEW)
def test_a_new_model_trains(tmp_path: Path, option: str) -> None:
    """Train for ten steps; at length if its facts have `learning: {with: ""}`, to print the measures that they lack.

    `make test-slow ARGS='-rP -k new_model'` shows what is printed.
    """
    if option not in CHOICES_OF:
        assert train(tmp_path, option, *SHORT)
        return
    untrained, reached = (train(tmp_path / name, option, *more) for name, more in (("a", UNTRAINED), ("b", ())))
    print(f"experiments/models/{option}.yaml may hold:\nlearning:")
    for metric in [metric for metric in reached if metric.endswith(PRECISE)]:
        low, high = untrained[metric], reached[metric]
        print(f"  {metric}: {{untrained: {low}, reached: {high}, floor: {(low + high) / 2:.1f}}}")
    assert reached


@pytest.mark.slow
def test_frames_between_frames_are_learned(tmp_path: Path) -> None:
    """After 300 steps a network is 2 dB above the mean of both frames, which has 21.8; random weights have 6."""
    choices = ("model=dvtsr", "model.flow=exact_intermediate", "trainer=cpu", "logger=none", "data.workers=0",
               "schedule=mini_frames", "schedule.steps=300", "schedule.milestones=[200,250,280]")  # fmt: skip
    tiny.train(tmp_path, *choices)
    (entry,) = (tmp_path / "results").rglob("*.json")
    assert json.loads(entry.read_text())["metrics"]["frame/PSNR"] > 23.8


@pytest.mark.parametrize("option", MEASURES)
def test_a_floor_is_half_way_from_random_weights_to_what_was_reached(option: str) -> None:
    for metric, measure in MEASURES[option].items():
        assert measure.floor == pytest.approx((measure.untrained + measure.reached) / 2, abs=0.06), metric
        assert measure.floor > measure.untrained + 2, metric
        if metric.endswith(PRECISE) and option not in FITTED:
            assert measure.floor >= 3 * measure.untrained, metric


def test_nearly_every_model_is_held_to_a_floor() -> None:
    assert len(MEASURES) > 40


@pytest.mark.slow
def test_two_models_are_the_same_at_tier_mini_only_where_a_paper_changes_no_network() -> None:
    """DeepMark is CenterNet with keypoints, for the landmarks of garments."""
    options: dict[str, list[str]] = {}
    for option in DETECTORS:
        options.setdefault(OmegaConf.to_yaml(config(f"model={option}", "tier=mini")), []).append(option)
    assert [alike for alike in options.values() if len(alike) > 1] == [["centernet_pose", "deepmark"]]
