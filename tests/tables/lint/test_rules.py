"""Each rule on a table that breaks it, and the golden tables of the papers."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lineage.cli.tables.lint import _choose_tables, main
from lineage.launch import lint
from lineage.tables import read
from lineage.tables.lint import config_rules
from lineage.tables.lint.rules import ERROR, RULES, Subject
from lineage.tables.table import Effect, Row, Table, TableError
from tests.tables import made

ROOT = Path(__file__).parents[3]
CONFIG = {
    "roi": {"_target_": "m.Pool"},
    "model": {"box": {"roi": {"_target_": "m.Pool"}, "nms": 0.5}, "heads": {"mask": {"size": 7}}},
    "schedule": {"steps": 100, "images_per_step": 16},
    "dataset": {
        "train": {"seed": 1},
        "val": {"seed": 2},
        "evaluator": {"_target_": "lineage.eval.protocols.coco.CocoScorer"},
    },
}


def config(**changes: Any) -> dict[str, Any]:
    roi = {"_target_": changes.pop("roi", "m.Pool")}
    model = CONFIG["model"] | {"box": {"roi": roi, "nms": changes.pop("nms", 0.5)}} | changes.pop("model", {})
    return CONFIG | {"roi": roi, "model": model} | changes


def interpolate(config: dict[str, Any]) -> dict[str, Any]:
    """The config as written: the RoI layer of the box head is that of the group `roi`."""
    model = config["model"]
    return config | {"model": model | ({"box": model["box"] | {"roi": "${roi}"}} if "box" in model else {})}


def table(**changes: Any) -> Table:
    metrics = {"mask/AP": "AP", "cost/image_ms": "ms"}
    return replace(made.table(), metrics=metrics, message="New gains over old.", **changes)


def found(one: Table, configs: dict[str, dict[str, Any]] | None = None, choices: Any = None) -> dict[str, str]:
    """rule -> message, without notes."""
    configs = configs or {"old": config(), "new": config(roi="m.Align")}
    written = {name: interpolate(config) for name, config in configs.items()}
    subject = Subject(one, configs, choices or {name: {} for name in configs}, written=written)
    return {finding.rule: finding.message for finding in lint.check(subject) if finding.severity != "note"}


def rows(**named: Any) -> dict[str, Row]:
    return {name: replace(Row(name, name, {}, {}, {"mask/AP": 30.0}), **told) for name, told in named.items()}


def test_a_sound_table_has_no_findings() -> None:
    assert found(table()) == {}


def test_one_factor() -> None:
    told = found(table(), {"old": config(), "new": config(roi="m.Align", nms=0.3)})
    assert told == {"T2": "differs from old in more than roi: model.box.nms: 0.5 -> 0.3"}
    listed = table(covaries={"model.box.nms": "the paper says so"})
    assert found(listed, {"old": config(), "new": config(roi="m.Align", nms=0.3)}) == {}
    assert "is the same experiment as old" in found(table(), {"old": config(), "new": config()})["T2"]


def test_a_series_of_trainings_and_a_series_of_tests_are_two_factors() -> None:
    here = {"evaluates": "paper/table/old"}
    many = replace(table(), rows=made.table().rows | rows(newer={}, t1=here, t2=here))
    rois = {name: config(roi=f"m.{name}") for name in ("new", "newer", "t1", "t2")}
    told = found(many, {"old": config(), **rois})["T2"]
    assert told.startswith("two factors: new, newer train otherwise than old, t1")


def test_cumulative() -> None:
    steps = {"align": ("roi",), "longer": ("schedule", "model.box.nms")}
    chain = replace(table(), kind="cumulative", factor=steps, baseline=None, rows=rows(a={}, b={}, c={}), effects=[])
    longer = {"schedule": {"steps": 200, "images_per_step": 16}}
    a, b, c = config(), config(roi="m.Align"), config(roi="m.Align", nms=0.3, **longer)
    assert "T3" not in found(chain, {"a": a, "b": b, "c": c})
    assert found(chain, {"a": a, "b": c})["T3"].startswith("is no single step of align, longer from a: roi._target_")
    assert found(chain, {"a": a, "b": a})["T3"] == "changes nothing from a"


def test_a_row_that_only_serves_is_no_step() -> None:
    """A teacher is tested otherwise than any row; what it leaves is what its student adds to the row above."""
    steps = {"align": ("roi",), "data": ("dataset",)}
    named = rows(a={}, b={"labels": "paper/table/t"}, t={"published": {}, "evaluates": "paper/table/a"})
    chain = replace(table(), kind="cumulative", factor=steps, baseline=None, rows=named, effects=[])
    more = CONFIG["dataset"] | {"labels": None}
    told = {"a": config(), "b": config(dataset=more), "t": config(nms=0.9)}
    assert "T3" not in found(chain, told)
    alone = replace(chain, rows=named | rows(b={}))
    assert found(alone, told)["T3"].startswith("is no single step of align, data from b: ")


def test_factorial() -> None:
    factor = {"roi": ("roi",), "nms": ("model.box.nms",)}
    names = rows(a={}, b={}, c={})
    grid = replace(table(), kind="factorial", factor=factor, baseline="a", rows=names, effects=[])
    cells = {"a": config(), "b": config(roi="m.Align"), "c": config(nms=0.3)}
    choices = {"a": {"roi": "pool"}, "b": {"roi": "align"}, "c": {"roi": "pool"}}
    assert found(grid, cells, choices)["T4"] == "the grid lacks roi=align, nms=0.3; add the row, or list it under gaps"
    assert "T4" not in found(replace(grid, gaps=[{"roi": "align", "nms": "0.3"}]), cells, choices)


@pytest.mark.parametrize(
    ("change", "rule", "says"),
    [
        ({"factor": {}}, "T1", "needs a factor"),
        ({"kind": "factorial"}, "T1", "two factors or more"),
        ({"baseline": None}, "T6", "no baseline"),
        ({"confidence": "unstated"}, "T7", "how sure"),
        ({"confidence": "recalled"}, "T7", "recalled"),
        ({"effects": [Effect("order", "new", "old", "mask/AP", None, 0.5)], "dataset": "voc"}, None, ""),
        ({"message": "New gains"}, "T10", "period"),
        ({"message": "New gains. It is good."}, "T10", "more than one sentence"),
        ({"effects": [Effect("equal", "new", "old", "mask/AP", None, 5.0)]}, "T10", "every claim is that rows are"),
        ({"message": "New drops below old."}, "T10", "says 'drop', but in every claim the baseline old is"),
        ({"effects": [Effect("gain", "new", "old", "mask/AP", 2.0, 0.5)]}, "C1", "published +3.0"),
        ({"effects": [Effect("order", "old", "new", "mask/AP", None, 0.5)]}, "C1", "published -3.0"),
        ({"effects": []}, "C2", "no claim"),
    ],
)
def test_what_a_file_says(change: dict[str, Any], rule: str | None, says: str) -> None:
    told = found(replace(table(), **change))
    assert (rule in told and says in told[rule]) if rule else not told


def test_columns() -> None:
    assert "T11" in found(replace(table(), metrics={"mask/AP": "AP", "box/AP": "AP", "cost/hours": "h"}))
    assert "T13" in found(replace(table(), metrics={"mask/AP": "AP"}))


def test_claims_within_noise_are_pointed_out() -> None:
    close = {"old": replace(made.table().rows["old"], published={"mask/AP": 29.7}), "new": made.table().rows["new"]}
    small = replace(table(), rows=close, effects=[Effect("gain", "new", "old", "mask/AP", 0.3, 0.5)])
    assert "below 0.5" in found(small)["T8"]


def test_a_table_may_say_why_its_rows_are_tested_differently() -> None:
    tests = {"train": {"seed": 1}, "val": {"seed": 3}, "evaluator": CONFIG["dataset"]["evaluator"]}
    apart = {"old": config(), "new": config(roi="m.Align", dataset=tests)}
    plain = table(kind="zoo", factor={}, effects=[])
    assert "dataset.val.seed: 2 -> 3" in found(plain, apart)["T5"]
    assert "T5" not in found(replace(plain, mixed="the source prints it so"), apart)
    claiming = table(kind="zoo", factor={}, mixed="the source prints it so")
    assert found(claiming, apart)["T5"] == "new and old are tested differently, and a claim compares them"
    assert found(claiming)["T5"] == "mixed is declared, but all rows are tested alike"


def test_rows_that_a_tier_makes_one_experiment_are_named() -> None:
    tables = partial(read.load_table, ROOT / "experiments")
    findings = lint.lint_tier(ROOT, tables("detectron2/retinanet"), tables, "smoke")
    told = [one.message for one in findings if one.rule == "T16"]
    assert told == ["r50_3x and r50_1x are one experiment at tier smoke"]
    assert not list(lint.lint_tier(ROOT, tables("mask_rcnn/table2c"), tables, "smoke"))


def test_keys_that_a_tier_drops_are_named() -> None:
    tables = partial(read.load_table, ROOT / "experiments")
    told = {
        one.row: (one.severity, one.message) for one in lint.lint_tier(ROOT, tables("fast_rcnn/table4"), tables, "mini")
    }
    assert told["rcnn_m"] == ("warning", "tier mini drops model.crop=224")
    assert told[None] == ("note", "tier mini drops dataset.train.difficult=keep of the base")
    assert "rcnn_s" not in told


def test_rows_are_tested_alike_and_not_on_what_they_were_trained_on() -> None:
    other = CONFIG["dataset"] | {"val": {"seed": 3}}
    told = found(table(), {"old": config(), "new": config(roi="m.Align", dataset=other)})
    assert "dataset.val.seed: 2 -> 3" in told["T5"]
    same = CONFIG["dataset"] | {"val": {"seed": 1}}
    both = {"old": config(dataset=same), "new": config(roi="m.Align", dataset=same)}
    assert found(table(), both) == {"C3": "is tested on its training images"}


def test_metrics_that_the_dataset_or_model_cannot_produce() -> None:
    voc = CONFIG["dataset"] | {"evaluator": {"_target_": "lineage.eval.protocols.voc.VocScorer"}}
    both = {"old": config(dataset=voc), "new": config(roi="m.Align", dataset=voc)}
    assert "mask/AP is not measured by VocScorer" in found(table(), both)["T14"]
    bare = {"model": {"heads": {}}}
    assert "needs a mask head" in found(table(), {"old": config(**bare), "new": config(roi="m.Align", **bare)})["T14"]


def test_a_part_that_no_model_reads_is_no_factor() -> None:
    both = {"old": config(), "new": config(roi="m.Align")}
    subject = Subject(table(), both, {name: {"model": "retinanet"} for name in both}, written=both)
    (finding,) = config_rules.check_parts(subject)
    assert finding.rule == "T18"
    assert finding.message == "old and new are one experiment: retinanet has no part roi; of these it has none"
    reading = {name: interpolate(config) for name, config in both.items()}
    assert not [*config_rules.check_parts(replace(subject, written=reading))]


def test_a_row_that_does_not_compose_is_told() -> None:
    one = Subject(table(), {}, {}, {"new": "there is no key 'model.hads'"})
    told = [finding.message for finding in lint.check(one) if finding.rule == "T15"]
    assert told == ["there is no key 'model.hads'"]


@pytest.mark.parametrize("name", ["table2a", "table2b", "table2c", "table2d", "table2e", "table8"])
def test_tables_2_and_8_of_mask_rcnn_pass(name: str) -> None:
    table = read.load_table(ROOT / "experiments", f"mask_rcnn/{name}")
    assert [finding for finding in lint.lint_table(ROOT, table) if finding.severity == ERROR] == []


def test_table_2_of_faster_rcnn_has_two_factors() -> None:
    table = read.load_table(ROOT / "experiments", "faster_rcnn/table2")
    findings = lint.lint_table(ROOT, table)
    assert any(one.rule == "T2" and one.message.startswith("two factors: unshared, shared train") for one in findings)


def test_every_rule_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    for name, rule in RULES.items():
        assert main(["--rule", name.lower()]) == 0
        assert rule.why in capsys.readouterr().out
    assert all(f"| {name} |" in (ROOT / "docs/tables.md").read_text() for name in RULES)


def test_the_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert main(["mask_rcnn/table2c"]) == 0
    assert "1 table: 0 errors" in capsys.readouterr().out
    experiments = ROOT / "experiments"
    tables = read.list_tables(experiments)
    chosen = _choose_tables(["fpn/", "experiments/fpn/table1.yaml"], experiments, tables)
    assert chosen == [f"fpn/table{number}" for number in (1, 2, 3, 4, 5)]
    with pytest.raises(TableError, match=r"no table or paper 'fpm'\. Did you mean fpn"):
        _choose_tables(["fpm"], experiments, tables)
    assert main(["experiments/faster_rcnn/table2.yaml", "--quiet"]) == 1
    assert "error T2" in capsys.readouterr().out
