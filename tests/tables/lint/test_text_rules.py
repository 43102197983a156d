"""Rules about a table's file at their boundaries: each finding with its row and its level."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lineage.tables.lint import text_rules
from lineage.tables.lint.metric_names import explain_unknown
from lineage.tables.lint.rules import Finding, Subject
from lineage.tables.table import Effect, Row, Table
from tests.tables import made

ROOT = Path(__file__).parents[3]


def build(numbers: dict[str, float | None] | None = None, **changes: Any) -> Table:
    """A table whose rows have these published numbers; None is a row without one."""
    numbers = numbers or {"old": 27.0, "new": 30.0}
    rows = {
        name: Row(name, name, {}, {}, {} if value is None else {"mask/AP": value}) for name, value in numbers.items()
    }
    return replace(made.table(), **{"rows": rows, "effects": []} | changes)


def effect(kind: str = "order", gain: float | None = None, better: str = "new", worse: str = "old") -> Effect:
    return Effect(kind, better, worse, "mask/AP", gain, 0.5)


def check(rule: Any, table: Table, configs: dict[str, dict[str, Any]] | None = None) -> list[tuple[str | None, str]]:
    """Return row and level of the findings."""
    findings: list[Finding] = list(rule(Subject(table, configs or {}, {})))
    return [(finding.row, finding.severity) for finding in findings]


def test_a_row_needs_a_number_unless_another_uses_it() -> None:
    table = build({"old": 27.0, "new": None, "used": None, "quoted": None, "later": None})
    table.rows["old"] = replace(table.rows["old"], start="paper/table/used")
    table.rows["quoted"] = replace(table.rows["quoted"], quoted="theirs")
    table.rows["later"] = replace(table.rows["later"], unsupported="no head")
    assert check(text_rules.check_numbers, table) == [("new", "warning")]
    assert check(text_rules.check_numbers, replace(table, source="")) == []


@pytest.mark.parametrize(
    ("kind", "baseline", "expected"),
    [
        ("one_factor", None, [(None, "error")]), ("ordered", None, [(None, "error")]),
        ("factorial", None, [(None, "error")]), ("cumulative", None, []), ("headline", None, []),
        ("headline", "new", []), ("one_factor", "empty", [("empty", "warning")]),
        ("one_factor", "quoted", [("quoted", "error")]),
    ],
)  # fmt: skip
def test_a_baseline_is_ours_and_has_a_number(kind: str, baseline: str | None, expected: list[Any]) -> None:
    table = build({"new": 30.0, "empty": None, "quoted": 31.0}, kind=kind, baseline=baseline)
    table.rows["quoted"] = replace(table.rows["quoted"], quoted="theirs")
    assert check(text_rules.check_baseline, table) == expected
    if baseline == "empty":
        assert check(text_rules.check_baseline, replace(table, source="")) == []


@pytest.mark.parametrize(
    ("key", "says"), [("roi", ""), ("model.box", ""), ("roy", "Did you mean roi"), ("model.bx", "")]
)
def test_a_factor_is_a_group_or_a_key_of_a_row(key: str, says: str) -> None:
    table = build(factor={"it": (key,)})
    subject = Subject(table, {"old": {"model": {"box": {"size": 7}}}}, {"old": {"roi": "align"}})
    messages = [finding.message for finding in text_rules.check_factor(subject)]
    assert len(messages) == (key in ("roy", "model.bx"))
    assert all(f"factor {key!r} is no config group" in message and says in message for message in messages)
    assert not [*text_rules.check_factor(replace(subject, errors={"old": "does not compose"}))]


def test_a_difference_is_large_enough_from_twice_the_noise_of_two_runs_on() -> None:
    """Mask AP on COCO: 2 x 0.185 x sqrt(2) = 0.523."""
    for size, expected in ((0.52, [(None, "warning")]), (0.53, []), (-0.52, [(None, "warning")]), (-0.53, [])):
        table = build({"old": 27.0, "new": 27.0 + size}, effects=[effect()])
        assert check(text_rules.check_effect_sizes, table) == expected
        assert check(text_rules.check_effect_sizes, replace(table, effects=[effect("equal")])) == []
        assert check(text_rules.check_effect_sizes, replace(table, dataset="cityscapes")) == []
    assert check(text_rules.check_effect_sizes, build({"old": 27.0, "new": None}, effects=[effect()])) == []


def test_claims_hold_for_the_published_numbers_up_to_rounding() -> None:
    def levels(new: float | None, stated: Effect, **changes: Any) -> list[tuple[str | None, str]]:
        return check(text_rules.check_claims, build({"old": 27.0, "new": new}, effects=[stated], **changes))

    wrong: list[tuple[str | None, str]] = [(None, "error")]
    lower = {"lower": frozenset(["mask/AP"])}
    assert [levels(27.0 + d, effect()) for d in (0.1, 0.0, -0.1)] == [[], wrong, wrong]
    assert [levels(27.0 + d, effect(), **lower) for d in (0.1, 0.0, -0.1)] == [wrong, wrong, []]
    assert [levels(27.0 + d, effect("equal")) for d in (0.55, -0.55, 0.56, -0.56)] == [[], [], wrong, wrong]
    assert [levels(27.0 + d, effect("gain", 3.0)) for d in (3.0, 2.95, 3.05, 2.94, 3.06)] == [[], [], [], wrong, wrong]
    assert levels(None, effect()) == [(None, "note")]
    assert levels(None, effect(), source="") == []


@pytest.mark.parametrize(
    ("message", "effects", "expected"),
    [
        ("New gains.", [effect()], []),
        ("New gains", [effect()], ["error"]),
        ("New gains, as in Fig. 3.", [effect()], []),
        ("New gains; Old does not.", [effect()], ["error"]),
        ("New gains.", [effect("equal")], ["error"]),
        ("New does not gain.", [effect("equal")], []),
        ("New gains.", [], []),
        ("Both are nearly equal.", [effect()], ["warning"]),
        ("Both are nearly equal.", [effect(), effect("equal")], []),
        ("Both are nearly equal.", [effect("equal")], []),
        ("New helps.", [effect(better="old", worse="new")], ["note"]),
        ("New helps.", [effect(better="old", worse="new"), effect()], []),
        ("New hurts.", [effect()], ["error"]),
        ("New hurts.", [effect(), effect(better="old", worse="new")], []),
        ("New hurts.", [effect(better="old", worse="new")], []),
        ("New gains and never hurts.", [effect()], []),
        ("New gains and hurts.", [effect()], []),
    ],
)
def test_a_message_is_one_sentence_that_agrees(message: str, effects: list[Effect], expected: list[str]) -> None:
    findings = check(text_rules.check_message, build(message=message, effects=effects))
    assert [level for _, level in findings] == expected


def test_a_table_about_the_architecture_has_a_cost_that_is_measured() -> None:
    for key, expected in (("roi", True), ("box.nms", True), ("schedule", False), ("xroi", False)):
        table = build(factor={"f": ("schedule", key)})
        assert check(text_rules.check_costs, table) == ([(None, "warning")] if expected else [])
    assert check(text_rules.check_costs, build(kind="zoo")) == check(text_rules.check_costs, build(source="")) == []
    assert check(text_rules.check_costs, build(metrics={"mask/AP": "AP", "cost/hours": "h"})) == []
    assert check(text_rules.check_costs, build(metrics={"mask/AP": "AP", "cost/wall": "h"})) == [(None, "note")]


def test_a_table_has_a_claim_and_says_how_sure_its_numbers_are() -> None:
    levels = [check(text_rules.check_has_claim, build(**changes)) for changes in ({}, {"kind": "zoo"}, {"source": ""})]
    assert levels == [[(None, "error")], [(None, "note")], [(None, "note")]]
    assert check(text_rules.check_has_claim, build(effects=[effect()])) == []
    assert check(text_rules.check_source, build(confidence="unstated")) == [(None, "error")]
    assert check(text_rules.check_source, build(confidence="unstated", source="")) == []
    table = build({"old": 27.0, "new": 30.0, "empty": None}, confidence="recalled by heart")
    assert check(text_rules.check_source, table) == [("old", "warning"), ("new", "warning")]
    table.rows["old"] = replace(table.rows["old"], confidence="read in source")
    assert check(text_rules.check_source, table) == [("new", "warning")]
    two = replace(build(), metrics={"a": "AP", "b": "AP", "c": "AP50", "d": "AP75"})
    assert check(text_rules.check_titles, two) == [(None, "error")]


@pytest.mark.parametrize(
    ("target", "measured", "unmeasured"),
    [
        (
            "lineage.calibration.evaluator.X",
            ["calibration/ECE", "box/AP", "mask/AP", "lvis/APr", "voc/mAP"],
            "frame/PSNR",
        ),
        ("lineage.explain.evaluator.X", ["explain/place", "keypoint/AP"], "calibration/ECE"),
        ("lineage.eval.frames.FrameEvaluator", ["frame/PSNR"], "box/AP"),
        ("x.LvisScorer", ["box/AP", "mask/AP", "lvis/APr"], "keypoint/AP"),
        ("x.VocScorer", ["voc/mAP", "voc/mAP07"], "box/AP"),
        ("x.CityscapesScorer", ["box/AP", "mask/AP"], "lvis/APr"),
        ("x.PanopticScorer", ["panoptic/PQ", "semantic/mIoU", "box/AP", "mask/AP"], "keypoint/AP"),
        ("x.ProposalScorer", ["box/AR1000", "box/ARs100", "box/R1000"], "box/AP"),
        ("x.CocoScorer", ["box/AP", "mask/AP", "keypoint/AP", "boundary/AP"], "panoptic/PQ"),
        ("x.Unheard", ["box/AP", "anything/at_all"], None),
    ],
)
def test_metrics_of_each_evaluator(target: str, measured: list[str], unmeasured: str | None) -> None:
    names = [*measured, *([unmeasured] if unmeasured else []), "cost/hours"]
    row = Row("a", "a", {}, {}, dict.fromkeys(names, 1.0))
    table = build(rows={"a": row})
    for config in ({"evaluator": {"_target_": target}}, {"dataset": {"evaluator": {"_target_": target}}}):
        findings = list(text_rules.check_metrics(Subject(table, {"a": config}, {})))
        name = target.rpartition(".")[2]
        says = [finding.message.partition(". ")[0] for finding in findings]
        assert says == ([f"{unmeasured} is not measured by {name}"] if unmeasured else [])


def test_masks_and_keypoints_need_their_heads() -> None:
    row = Row("a", "a", {}, {}, dict.fromkeys(("box/AP", "mask/AP", "keypoint/AP"), 1.0))
    for heads, missing in (({}, ["mask", "keypoint"]), ({"mask": {}}, ["keypoint"]), ({"mask": 1, "keypoint": 1}, [])):
        config = {"model": {"heads": heads}}
        findings = [one.message for one in text_rules.check_metrics(Subject(build(rows={"a": row}), {"a": config}, {}))]
        has = ", ".join(heads) or "none"
        assert findings == [f"{task}/AP needs a {task} head; model.heads has {has}" for task in missing]
    assert check(text_rules.check_metrics, build(rows={"a": row}), {"a": {}}) == []


def test_a_model_without_heads_on_regions_has_no_masks() -> None:
    """CenterNet and RetinaNet have no node model.heads; DeepMark's landmarks are keypoints."""
    reasons = [[*text_rules.explain_unmeasured({"model": {}}, f"{task}/AP")] for task in ("box", "mask", "keypoint")]
    assert reasons == [[], ["mask/AP needs a mask head; this model has none"],
                       ["keypoint/AP needs a keypoint head; this model has none"]]  # fmt: skip
    assert not any(text_rules.explain_unmeasured({"model": {"landmarks": {}}}, "keypoint/AP"))


def test_an_unknown_metric_gets_the_nearest_that_its_evaluator_has() -> None:
    config = {"evaluator": {"_target_": "lineage.eval.protocols.coco.CocoScorer"}}
    assert [*text_rules.explain_unmeasured(config, "box/AP55")] == [
        "box/AP55 is not measured by CocoScorer. Did you mean box/AP50 or box/AP75 or box/AP?"
    ]
    own = build(metrics={"box/AP": "AP", "cost/milliseconds": "ms"}, source="")
    assert check(text_rules.check_costs, own) == [(None, "error")]


def test_every_metric_of_an_entry_is_one_of_its_evaluator() -> None:
    """The oracle is what evaluators wrote: all entries of this store."""
    entries = [json.loads(path.read_text()) for path in (ROOT / "results").rglob("*Z-*.json")]
    measured = {
        (json.dumps(entry["config"].get("evaluator") or entry["config"]["dataset"].get("evaluator")), metric)
        for entry in entries
        for metric in entry["metrics"]
        if not metric.startswith("cost/")
    }
    assert len(measured) > 50
    reasons = [explain_unknown({"evaluator": json.loads(evaluator)}, metric) for evaluator, metric in measured]
    assert not any(reasons)
