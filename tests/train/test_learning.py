"""Every option of conf/model learns the embedded dataset in a minute or so of one CPU core, as a user would train it.

What each has untrained and what it reached is in experiments/learned.yaml, and so are the floors that it is held to.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from omegaconf import OmegaConf

from tests.models.compose import config
from tests.train import tiny

FILE = tiny.ROOT / "experiments/learned.yaml"
LEARNED = yaml.safe_load(FILE.read_text())
MODELS = LEARNED["models"]
FITTED = ("fast_rcnn_svm", "rcnn")  # their SVMs are, whatever the features: random ones find something as well
PRECISE = ("AP50", "mAP", "PQ")  # nearly nothing by chance, unlike recall and mIoU


class Measured(NamedTuple):
    untrained: float
    reached: float
    floor: float


def lines(name: str) -> dict[str, Measured]:
    return {measure: Measured(*values) for measure, values in MODELS[name].items() if measure != "with"}


def train(folder: Path, name: str, *more: str) -> dict[str, float]:
    """Return what training reaches in the measures of the model's line."""
    tiny.train(folder, f"model={name}", *LEARNED["with"].split(), *MODELS[name].get("with", "").split(), *more)
    (entry,) = (folder / "results").rglob("*.json")
    metrics = json.loads(entry.read_text())["metrics"]
    measured = {measure: round(metrics[measure], 1) for measure in lines(name)}
    print(measured)  # to copy into a new line
    return measured


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_model_learns_shapes(tmp_path: Path, name: str) -> None:
    metrics, floors = train(tmp_path, name), lines(name)
    assert {measure: value for measure, value in metrics.items() if value < floors[measure].floor} == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_random_weights_find_no_more_than_its_line_says(tmp_path: Path, name: str) -> None:
    metrics, limits = train(tmp_path, name, *LEARNED["untrained"].split()), lines(name)
    assert {measure: value for measure, value in metrics.items() if value > limits[measure].untrained + 1} == {}


def test_every_model_has_a_line() -> None:
    options = {path.stem for path in (tiny.ROOT / "conf/model").glob("*.yaml")}
    missing = sorted(options - MODELS.keys())
    assert not missing, f"add what {', '.join(missing)} learns to {FILE.name}: `make test-slow ARGS='-rP -k learning'`"
    assert sorted(MODELS.keys() - options) == [], f"{FILE.name} has lines of models that conf/model does not have"


@pytest.mark.parametrize("name", MODELS)
def test_a_floor_is_half_way_from_random_weights_to_what_was_reached(name: str) -> None:
    for measure, (untrained, reached, floor) in lines(name).items():
        assert floor == pytest.approx((untrained + reached) / 2, abs=0.06), measure
        assert floor > untrained + 2, measure
        if measure.endswith(PRECISE) and name not in FITTED:
            assert floor >= 3 * untrained, measure


@pytest.mark.slow
def test_no_two_models_are_the_same_at_tier_mini() -> None:
    names: dict[str, list[str]] = {}
    for name in MODELS:
        names.setdefault(OmegaConf.to_yaml(config(f"model={name}", "tier=mini")), []).append(name)
    assert [alike for alike in names.values() if len(alike) > 1] == []
