"""Every option of conf/model learns the embedded dataset within a minute of one CPU core, as a user would train it.

What each reached is in experiments/learned.yaml, and so are the floors that it is held to.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.train import tiny

FILE = tiny.ROOT / "experiments/learned.yaml"
LEARNED = yaml.safe_load(FILE.read_text())
MODELS = LEARNED["models"]


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_model_learns_shapes(tmp_path: Path, name: str) -> None:
    line = MODELS[name]
    tiny.train(tmp_path, f"model={name}", *LEARNED["with"].split(), *line.get("with", "").split())
    (entry,) = (tmp_path / "results").rglob("*.json")
    metrics = json.loads(entry.read_text())["metrics"]
    print({measure: round(metrics[measure], 1) for measure in line["reached"]})  # for whoever writes a line
    assert {measure: metrics[measure] for measure, floor in line["floors"].items() if metrics[measure] < floor} == {}


def test_every_model_has_a_line() -> None:
    options = {path.stem for path in (tiny.ROOT / "conf/model").glob("*.yaml")}
    missing = sorted(options - MODELS.keys())
    assert not missing, f"add what {', '.join(missing)} learns to {FILE.name}: `make test-slow ARGS='-s -k learns'`"
    assert sorted(MODELS.keys() - options) == [], f"{FILE.name} has lines of models that conf/model does not have"


@pytest.mark.parametrize("name", MODELS)
def test_a_floor_is_below_what_was_reached_but_not_far(name: str) -> None:
    reached, floors = MODELS[name]["reached"], MODELS[name]["floors"]
    assert reached.keys() == floors.keys()
    assert all(reached[measure] / 2 <= floor < reached[measure] for measure, floor in floors.items())
