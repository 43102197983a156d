from __future__ import annotations

import json
from typing import Any

import pytest

from lineage.results import diff
from lineage.results.entry import Entry
from tests.tables import made


def test_configs_differ_in_the_shortest_form() -> None:
    a = {
        "seed": 0,
        "roi": {"_target_": "m.Pool", "size": 7},
        "lr": 0.1,
        "heads": {"mask": {"_target_": "m.Mask", "x": 1}},
    }
    b = {"seed": 1, "roi": {"_target_": "m.Align", "size": 7}, "lr": 0.1, "heads": {}}
    found = [str(difference) for difference in diff.configs(a, b, ignore=("seed",))]
    assert found == ["roi._target_: m.Pool -> m.Align", "heads.mask: m.Mask -> (absent)"]


def test_copies_of_a_named_choice_are_not_told_again() -> None:
    pool, align = {"_target_": "m.Pool"}, {"_target_": "m.Align", "sampling": 2}
    a, b = ({"roi": roi, "model": {"box": {"roi": roi, "size": 7}}} for roi in (pool, align))
    assert diff.configs(a, b, ignore=("roi",)) == []


def test_metrics_are_compared_bit_by_bit() -> None:
    a, b = made.entry(value=0.3), made.entry(value=0.1 + 0.2)
    assert [found.key for found in diff.metrics(a, b)] == ["mask/AP"]
    assert diff.metrics(a, made.entry(value=0.3)) == []
    assert [found.b for found in diff.metrics(a, made.entry(value=None))] == [diff.ABSENT]


def test_provenance_names_what_else_could_be_the_reason() -> None:
    a, b = made.entry(packages={"torch": "2.11"}), made.entry(packages={"torch": "2.12"}, dirty=True)
    assert [str(found) for found in diff.provenance(a, b)] == ["dirty: False -> True", "packages.torch: 2.11 -> 2.12"]


def test_what_could_explain_a_difference_the_likeliest_first() -> None:
    roi = {"_target_": "x.Pool"}
    a = made.entry(value=27.0, packages={"torch": "2.11"}, config={"roi": roi, "model": {"roi": roi}, "seed": 0})
    other = {"_target_": "x.Align"}
    b = made.entry(seed=1, packages={"torch": "2.12"}, config={"roi": other, "model": {"roi": other}, "seed": 1})
    reasons = diff.explain(a, b)
    assert [reason.kind for reason in reasons] == ["config", "seed", "packages"]
    texts = [str(difference) for difference in reasons[0].differences]
    assert texts == ["roi._target_: x.Pool -> x.Align"]  # the copy is left out
    assert diff.explain(a, a) == []
    data = made.entry(evaluation_digest="f", dataset={"val": "1"})
    assert diff.explain(made.entry(), data)[0].kind == "data"


def test_a_node_at_a_key() -> None:
    config = {"model": {"box": {"nms": 0.5}}}
    assert diff.at(config, "model.box.nms") == 0.5
    assert diff.at(config, "model.mask.nms") == diff.ABSENT


def moved(key: str, before: Any, after: Any) -> list[str]:
    """What `lineage why` says where two runs differ in one key and its copies."""
    config: dict[str, Any] = {
        "seed": 0,
        "tier": "paper",
        "weights_sha256": None,
        "resume": None,
        "checkpoint_every": 250,
        "trainer": {"devices": 1, "strategy": "auto", "precision": "32", "detect_anomaly": False},
        "dataset": {"root": None, "labels": None, "train": {"root": None}, "val": {"_target_": "x", "root": None}},
        "proposals": {"folder": "proposals", "train": {"path": "proposals/train.npz"}},
        "cell": {"table": None, "start": None},
    }
    a, b = ({**json.loads(json.dumps(config))} for _ in range(2))
    for side, value in ((a, before), (b, after)):
        node = side
        *path, last = key.split(".")
        for name in path:
            node = node[name]
        node[last] = value
        side["dataset"]["train"]["root"] = side["dataset"]["val"]["root"] = side["dataset"]["root"]
        side["proposals"]["train"]["path"] = f"{side['proposals']['folder']}/train.npz"
    return [reason.kind for reason in diff.explain(made.entry(config=a), made.entry(config=b))]


@pytest.mark.parametrize(
    ("key", "before", "after"),
    [
        ("dataset.root", "/data/a", "/mnt/b"),
        ("dataset.root", None, "/mnt/b"),
        ("dataset.labels", None, "runs/a/labels.json"),
        ("proposals.folder", "runs/a/proposals", "runs/b/proposals"),
        ("trainer.devices", 1, 8),
        ("trainer.strategy", "auto", {"_target_": "pytorch_lightning.strategies.DDPStrategy"}),
        ("trainer.detect_anomaly", False, True),
        ("weights_sha256", None, "0" * 64),
        ("checkpoint_every", 250, 10),
        ("resume", None, "runs/a"),
        ("tier", "paper", "mini"),
        ("cell.start", None, "20260101T000000Z-0-0"),
        ("cell.table", None, "a/b"),
    ],
)
def test_where_and_how_fast_explains_no_number(key: str, before: Any, after: Any) -> None:
    assert moved(key, before, after) == []


@pytest.mark.parametrize(
    ("key", "before", "after"), [("trainer.precision", "32", "bf16-mixed"), ("dataset.val._target_", "x", "y")]
)
def test_what_is_computed_explains_it(key: str, before: Any, after: Any) -> None:
    assert moved(key, before, after) == ["config"]


def test_long_floats_have_as_many_digits_as_tell_them_apart() -> None:
    assert str(diff.Difference("box/AP", 8.128527658472965, 48.39436348663467)) == "box/AP: 8.12853 -> 48.3944"
    assert str(diff.Difference("box/AP", 8.1285276584, 8.1285276585)) == "box/AP: 8.1285276584 -> 8.1285276585"
    assert str(diff.Difference("optimizer.lr", 1.0, 0.02)) == "optimizer.lr: 1.0 -> 0.02"


def test_a_test_of_a_row_is_not_unfinished() -> None:
    trained, tested = made.entry(steps=60), made.entry(steps=0)
    assert weight_of(trained, tested) == "a run of 0 steps tests weights that another has trained"
    assert "unfinished" not in weight_of(trained, made.entry(steps=90))
    assert "unfinished" in weight_of(trained, made.entry(steps=20, status="stopped"))


def weight_of(a: Entry, b: Entry) -> str:
    (weight,) = (reason.weight for reason in diff.explain(a, b) if reason.kind == "status")
    return weight
