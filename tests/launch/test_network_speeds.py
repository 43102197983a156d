"""Prices of tier mini: from steps measured here, else from shipped ones times the ratio of what was measured."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from lineage.launch import network_speeds
from lineage.launch.compose_rows import ComposedRow, RowRequest
from lineage.launch.cost_estimate import estimate_cost
from lineage.launch.explanation_cost import count_equivalent_images
from lineage.launch.network_speeds import Speed, Speeds, load_speeds
from lineage.launch.plan import TEST, TRAIN
from lineage.results import paths, store
from lineage.tables.table import Row
from lineage.tables.yaml_node import TableError
from tests.launch.test_cost_estimate import planned, trained
from tests.tables import made

CONFIG = {"schedule": {"steps": 400, "images_per_step": 4}, "dataset": {"val": {"length": 200}}}
SHIPPED = {"mask_rcnn/mini": Speed(0.25, 0.1, 10.0), "rpn/mini": Speed(0.1, 0.01, 5.0)}


def test_a_run_is_its_steps_its_test_and_the_rest() -> None:
    speed = Speed(0.25, 0.1, 10.0)
    assert speed.predict(CONFIG, trains=True) == pytest.approx(100 + 20 + 10)
    assert speed.predict(CONFIG, trains=False) == pytest.approx(20 + 10)
    often = CONFIG | {"schedule": {"steps": 400, "evaluate_every": 100}}
    assert speed.predict(often, trains=True) == pytest.approx(100 + 4 * 20 + 10)


def test_explanations_have_a_price() -> None:
    """24 images of 3 detections each: 72 maps of 2 detections; D-RISE's masks serve all detections of an image."""
    evaluator = {"_target_": "lineage.explain.evaluator.ExplanationEvaluator", "images": 24, "detections": 3,
                 "method": "odam", "measures": ["place"], "masks": 300}  # fmt: skip
    assert count_equivalent_images({"evaluator": evaluator}) == 72 * 2
    assert count_equivalent_images({"evaluator": evaluator | {"method": "d_rise"}}) == 24 * 300
    assert count_equivalent_images({"evaluator": evaluator | {"method": "random"}}) == 0
    removal = count_equivalent_images({"evaluator": evaluator | {"measures": ["removal"]}})
    assert removal == 72 * (2 + 22)
    assert count_equivalent_images({"evaluator": evaluator | {"measures": ["dependence"]}}) > 72 * 2 * 6
    assert count_equivalent_images(CONFIG) == count_equivalent_images({"evaluator": None}) == 0
    speed = Speed(0.25, 0.1, 10.0)
    config = CONFIG | {"evaluator": evaluator}
    assert speed.predict(config, trains=False) - speed.predict(CONFIG, trains=False) == pytest.approx(144 * 0.1)


@pytest.mark.parametrize(
    ("method", "measures", "detections"),
    [
        ("random", [], 0), ("center", ["place"], 0), ("smooth_grad", [], 50), ("integrated_gradients", None, 64),
        ("guided_grad_cam", [], 4), ("grad_cam", [], 2), ("odam", ["removal"], 2 + 22), ("odam", ["road"], 2 + 30),
        ("odam", ["sensitivity", "place"], 2 + 30), ("odam", ["dependence"], 2 + 7 * 3),
        ("random", ["removal", "road", "dependence"], 22 + 30 + 7), ("d_rise", ["dependence"], 7),
    ],
)  # fmt: skip
def test_each_explanation_costs_as_many_detections(method: str, measures: list[str] | None, detections: int) -> None:
    """For 5 images of 3 detections; D-RISE's 100 masks once per image."""
    evaluator = {"_target_": "x.ExplanationEvaluator", "images": 5, "detections": 3, "method": method, "masks": 100}
    masks = 100 if method == "d_rise" else 0
    assert count_equivalent_images({"evaluator": evaluator | {"measures": measures}}) == 5 * (3 * detections + masks)
    assert count_equivalent_images({"evaluator": evaluator | {"_target_": "x.CocoEvaluator"}}) == 0
    assert count_equivalent_images({"evaluator": {"_target_": "x.ExplanationEvaluator", "method": method}}) == 0


def test_a_run_without_a_schedule_or_a_length_is_a_test_of_200_images() -> None:
    speed = Speed(0.25, 0.1, 10.0)
    assert speed.predict({}, trains=True) == speed.predict({}, trains=False) == pytest.approx(200 * 0.1 + 10)
    often = {"schedule": {"steps": 401, "evaluate_every": 100}, "dataset": {"val": {"length": 10}}}
    assert speed.predict(often, trains=True) == pytest.approx(401 * 0.25 + 5 * 10 * 0.1 + 10)
    assert speed.predict(often, trains=False) == pytest.approx(10 * 0.1 + 10)
    one_step = {"schedule": {"steps": 1, "evaluate_every": 1}, "dataset": {"val": {"length": 10}}}
    assert speed.predict(one_step, trains=True) == pytest.approx(0.25 + 1 + 10)


def test_networks_without_a_time_are_like_those_of_their_backbone_else_like_all() -> None:
    shipped = SHIPPED | {"rpn/resnet50": Speed(1.0, 0.4, 20.0)}
    speeds = Speeds("a CPU", shipped, {"mask_rcnn/mini": Speed(0.5, 0.3, 12.0), "own/mini": Speed(9.0, 9.0, 9.0)})
    assert speeds.ratio == 2.0  # of the one network that both have
    assert speeds.find("rpn/resnet50") == (Speed(2.0, 0.8, 40.0), "as on a CPU, x 2.00 by the calibration here")
    alike, other = speeds.find("x/mini"), speeds.find("x/resnet101")
    assert alike is not None
    assert other is not None
    assert alike[0] == Speed(0.5, 0.3, 10.0)  # medians of .5 .2 9, .3 .02 9, 12 10 9
    assert alike[1].startswith("roughly, as 3 networks of backbone mini;")
    assert other[0] == Speed(1.25, 0.55, 11.0)
    assert other[1].startswith("roughly, as 4 networks that were measured;")


def test_the_time_of_a_calibration_is_steps_images_and_the_rest() -> None:
    entry = made.entry(steps=16, step_seconds=0.5, image_ms=250.0)
    assert network_speeds.read_speed(entry, 20.0) == Speed(0.5, 0.25, 20.0 - 16 * 0.5 - 12 * 0.25)
    assert network_speeds.read_speed(entry, 5.0).other == 0.0
    assert network_speeds.read_speed(made.entry(steps=0, step_seconds=None, image_ms=None), 7.0) == Speed(0.0, 0.0, 7.0)


def test_what_is_measured_here_counts_and_scales_the_rest() -> None:
    speeds = Speeds("a CPU", SHIPPED, {"mask_rcnn/mini": Speed(0.5, 0.3, 12.0)})
    assert speeds.find("mask_rcnn/mini") == (Speed(0.5, 0.3, 12.0), "calibrated here")
    found = speeds.find("rpn/mini")
    assert found is not None
    assert found[0] == Speed(0.2, 0.02, 10.0)
    assert "x 2.00" in found[1]
    rough = speeds.find("other/mini")
    assert rough is not None
    assert rough[0] == Speed(0.35, 0.16, 11.0)
    assert rough[1].startswith("roughly, as 2 networks of backbone mini")
    assert Speeds("", {}, {}).find("other/mini") is None
    before = Speeds("a CPU", SHIPPED, {}).find("rpn/mini")
    assert before is not None
    assert "--calibrate" in before[1]


def test_a_plan_at_tier_mini_has_hours_without_any_run() -> None:
    cell = planned()
    cell = replace(cell, composed=replace(cell.composed, config=CONFIG))
    speeds = Speeds("a CPU", SHIPPED, {})
    found = estimate_cost(cell, TRAIN, [], "CPU", Path("none"), speeds)
    assert found.hours == pytest.approx(130 / 3600)
    assert estimate_cost(cell, TEST, [], "CPU", Path("none"), speeds).hours == pytest.approx(30 / 3600)
    assert estimate_cost(cell, TRAIN, [trained()], "CPU", Path("none"), speeds).basis == "as 1 run on CPU"
    other_tier = replace(cell, name=cell.name._replace(tier="smoke"))
    assert estimate_cost(other_tier, TRAIN, [], "CPU", Path("none"), speeds).hours is None


def test_a_calibration_is_kept_by_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINEAGE_CACHE", str(tmp_path))
    path = network_speeds._locate_measured("NVIDIA H100")
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"rpn/mini": asdict(SHIPPED["rpn/mini"])}))
    assert load_speeds(paths.experiments(), "NVIDIA H100").here == {"rpn/mini": SHIPPED["rpn/mini"]}
    assert load_speeds(paths.experiments(), "CPU").here == {}
    for damaged in ("cut off", "[1]", "[" * 100_000, '{"rpn/mini": [1]}', '{"rpn/mini": {"step": 1}}'):
        path.write_text(damaged)
        assert load_speeds(paths.experiments(), "NVIDIA H100").here == {}


def test_a_speed_is_what_a_short_run_measured() -> None:
    """The rest of 60 s after steps of 0.5 s and images of 40 ms; a run without a measured step is `other` alone."""
    entry = made.entry(steps=20, step_seconds=0.5, image_ms=40.0)
    assert network_speeds.read_speed(entry, 60.0) == Speed(0.5, 0.04, 60.0 - 20 * 0.5 - network_speeds.IMAGES * 0.04)
    assert network_speeds.read_speed(entry, 3.0).other == 0.0
    assert network_speeds.read_speed(replace(entry, step_seconds=None, image_ms=None), 7.0) == Speed(0.0, 0.0, 7.0)


def test_each_network_is_measured_once_and_kept_as_soon_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed run costs its own network alone; a row that starts from another one measures nothing."""
    monkeypatch.setenv("LINEAGE_CACHE", str(tmp_path))
    rows = {"a": {}, "again": {}, "b": {}, "broken": {}, "later": {"evaluates": "a"}, "quoted": {"quoted": "theirs"}}
    requests = [
        RowRequest("paper/table", Row(name, name, {}, {}, {}, **options), "mini") for name, options in rows.items()
    ]
    composed = {
        name: ComposedRow({}, {"model": "rpn" if name == "b" else "rcnn", "backbone": "r50"}, "", "", error=error)
        for name, error in (("a", None), ("again", None), ("b", None), ("broken", "no such option"))
    }  # fmt: skip
    measured: list[str] = []

    def measure(project: Path, request: RowRequest) -> Speed:
        measured.append(request.row.name)
        if request.row.name == "b":
            raise TableError("b did not run")
        return SHIPPED["rpn/mini"]

    monkeypatch.setattr(network_speeds, "compose_rows", lambda project, those: [composed[r.row.name] for r in those])
    monkeypatch.setattr(network_speeds, "measure_speed", measure)
    messages: list[str] = []
    speeds = network_speeds.measure_networks(tmp_path, requests, "CPU", messages.append)
    assert sorted(measured) == ["again", "b"]  # of equal networks the last
    assert speeds == load_speeds(paths.experiments(), "CPU").here == {"rcnn/r50": SHIPPED["rpn/mini"]}
    assert messages == ["measure rcnn/r50", "measure rpn/r50", "b did not run"]


def test_a_short_run_has_a_store_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request = RowRequest("paper/table", Row("new", "new", {}, {}, {}), "mini")
    status = "finished"

    def run(command: list[str], **options: object) -> SimpleNamespace:
        assert "experiment=mini/paper/table/new" in command
        assert {"schedule.steps=16", "dataset.val.length=12", "schedule.warmup_steps=0"} <= {*command}
        (results,) = (Path(word.partition("=")[2]) for word in command if word.startswith("paths.results="))
        store.write(made.entry(steps=16, step_seconds=0.5, image_ms=40.0, status=status), results)
        return SimpleNamespace(stdout="", stderr="first line\nno room\n")

    monkeypatch.setattr(network_speeds.subprocess, "run", run)
    speed = network_speeds.measure_speed(tmp_path, request)
    assert (speed.step, speed.image) == (0.5, 0.04)
    status = "failed"
    with pytest.raises(TableError, match="experiment=mini/paper/table/new did not run: no room"):
        network_speeds.measure_speed(tmp_path, request)
