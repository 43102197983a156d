from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from lineage.tables import read, tiers
from lineage.tables.format.notes import describe_deviations
from lineage.tables.table import Effect, TableError

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
GOOD: dict[str, Any] = yaml.safe_load((EXPERIMENTS / "mask_rcnn/table2c.yaml").read_text())


def test_mask_rcnn_table_2c() -> None:
    table = read.load_table(EXPERIMENTS, "mask_rcnn/table2c")
    assert next(iter(table.rows.values())).label == "RoIPool max"
    assert table.rows["roi_pool"].choices == {
        "model": "mask_rcnn_c4", "backbone": "resnet50", "dataset": "coco", "schedule": "mask_rcnn", "roi": "pool",
    }  # fmt: skip
    assert len(table.claims) == 15
    assert table.effects[0] == Effect("gain", "roi_align", "roi_pool", "mask/AP", 3.4, 0.5)


def test_effects_agree_with_the_published_numbers() -> None:
    for name in read.list_tables(EXPERIMENTS):
        table = read.load_table(EXPERIMENTS, name)
        for effect in table.effects:
            rows = (table.rows[effect.better].published, table.rows[effect.worse].published)
            if effect.gain is not None and all(effect.metric in row for row in rows):
                assert rows[0][effect.metric] - rows[1][effect.metric] == pytest.approx(effect.gain, abs=0.051)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"mesage": "x"}, "mesage: unknown key. Did you mean message"),
        ({"label": ""}, "label: missing"),
        ({"kind": "one-factor"}, "kind: unknown: 'one-factor'. Did you mean one_factor"),
        ({"metrics": "mask/AP"}, "metrics: expected keys and values"),
        ({"tolerance": "half"}, "tolerance: 'half' is not a number"),
        ({"tolerance": float("nan")}, "tolerance: nan is not a finite number"),
        ({"rows": {"a": {"published": {"mask/AP": float("inf")}}}}, "rows.a.published.mask/AP: inf is not a finite"),
        ({"rows": {"a": {"label": ["RoIAlign"]}}}, "rows.a.label: expected a text, found ['RoIAlign']"),
        ({"base": {"wiht": {}}}, "base.wiht: unknown key"),
        ({"rows": {"a": {"sett": {}}}}, "rows.a.sett: unknown key. Did you mean set"),
        ({"rows": {"a": {"published": {"mask/AP": True}}}}, "rows.a.published.mask/AP: True is not a number"),
        (
            {"rows": {"a": {"published": {"mask/APP": 1}}}},
            "rows.a.published.mask/APP: unknown key. Did you mean mask/AP",
        ),
        ({"arxiv": 1703.0687}, "arxiv: YAML reads this as a number; write it in quotes"),
        ({"baseline": "roi_pol"}, "baseline: unknown: 'roi_pol'. Did you mean roi_pool"),
        ({"metrics": GOOD["metrics"] | {"x": {"title": "X", "better": "less"}}}, "metrics.x.better: unknown: 'less'"),
        ({"rows": {"a/b": {}}}, "rows.a/b: the name of a row has no slash"),
        ({"rows": {"a": {"from": "b", "start": "b"}}}, "rows.a.from: a row that tests another row's checkpoint"),
        ({"rows": {"a": {"from": "b", "labels": "b"}}}, "trains nothing: leave labels out"),
        ({"rows": {"a": {"published": {"mask/AP": {"sd": 1}}}}}, "rows.a.published.mask/AP.value: missing"),
        ({"claims": [{"better": "roi_alig", "worse": "roi_pool"}]}, "claims[0].better: unknown: 'roi_alig'. Did you"),
        ({"claims": [{"better": "roi_align"}]}, "claims[0].worse: unknown: ''"),
        ({"claims": [{"equal": ["roi_pool"]}]}, "claims[0].equal: expected two rows or more, each once"),
        ({"claims": [{"equal": ["roi_pool", "x"]}]}, "claims[0].equal: there is no 'x'"),
        ({"claims": [{"order": ["roi_align", "roi_pool"], "gain": 1}]}, "claims[0].gain: only a claim of better"),
        (
            {"claims": [{"better": "roi_align", "worse": "roi_pool"}, {"order": ["roi_align", "roi_pool"]}]},
            "claims[1].order: a claim above states roi_align and roi_pool by cost/parameters_m; leave one",
        ),
        ({"claims": [{"better": "roi_pool", "worse": "roi_pool"}]}, "claims[0].worse: roi_pool is the better row, too"),
        ({"claims": [{"row": "roi_align", "value": 30.4}]}, "30.4 is claimed, but the row roi_align has published"),
        ({"claims": [{"metric": "mask/AP"}]}, "claims[0].better: a claim has exactly one of these forms"),
        ({"claims": {"a": 1}}, "claims: expected a list"),
        (
            {"claims": [{"better": "roi_align", "worse": "roi_pool", "gian": 1}]},
            "claims[0].gian: unknown key. Did you mean gain",
        ),
        ({"metrics": {"x": {"title": "X", "bettter": "lower"}}}, "metrics.x.bettter: unknown key. Did you mean better"),
        ({"metrics": {"x": {"better": "lower"}}}, "metrics.x.title: missing"),
        (
            {"rows": {"a": {"published": {"mask/AP": {"value": 1, "rnus": 2}}}}},
            "rows.a.published.mask/AP.rnus: unknown key. Did you mean runs",
        ),
        (
            {"rows": {"a": {"published": {"mask/AP": {"value": 1, "runs": 2.5}}}}},
            "rows.a.published.mask/AP.runs: 2.5 is not a whole number",
        ),
        (
            {"claims": [{"better": "roi_align", "worse": "roi_pool", "order": ["roi_pool", "roi_align"]}]},
            "claims[0].order: a claim has exactly one of these forms",
        ),
        ({"claims": [{"equal": ["roi_pool", "roi_align"], "gain": 1}]}, "claims[0].gain: only a claim of better"),
        ({"claims": [{"equal": ["roi_pool", "roi_align", "roi_pool"]}]}, "expected two rows or more, each once"),
        (
            {"claims": [{"better": "roi_align", "worse": "roi_pool", "metric": "mask/APP"}]},
            "metric: unknown: 'mask/APP'",
        ),
        ({"claims": [{"better": "roi_align", "worse": "roi_pol"}]}, "claims[0].worse: unknown: 'roi_pol'. Did you"),
        ({"claims": [{"row": "roi_alig", "value": 1}]}, "claims[0].row: unknown: 'roi_alig'. Did you mean roi_align"),
        ({"source": ""}, "source: missing: roi_align has published numbers"),
        ({"at": {"paper": {"x": 1}}}, "at.paper: what rows set at the tier of their table stands in base.set"),
        ({"at": {"paper": {"x": 1}}, "tier": "mini"}, "at.paper: rows of tier mini do not run at"),
        ({"at": {"mini": {"x": 1}}, "tier": "mini"}, "at.mini: what rows set at the tier of their table stands in"),
        ({"seeds": -1}, "seeds: -1 is not a number of seeds, 1 to 1000"),
        ({"seeds": 1001}, "seeds: 1001 is not a number of seeds, 1 to 1000"),
        ({"seeds": 2.5}, "seeds: 2.5 is not a number of seeds"),
    ],
)
def test_a_wrong_file_is_told_where_it_is_wrong(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    with pytest.raises(TableError) as error:
        load(tmp_path, GOOD | change)
    assert str(error.value).startswith(str(tmp_path / "a/b.yaml"))
    assert says in str(error.value)


def test_a_missing_table_is_told_its_neighbours() -> None:
    with pytest.raises(TableError, match="Did you mean mask_rcnn/table2c"):
        read.load_table(EXPERIMENTS, "mask_rcnn/table2cc")


def test_tiers_translate_what_they_name() -> None:
    choose = read.load_table(EXPERIMENTS, "mask_rcnn/table2c").rows["roi_pool"].choices
    mini = tiers.translate_choices(choose, tiers.load_tiers(EXPERIMENTS)["mini"])
    assert mini == choose | {"backbone": "mini", "dataset": "shapes_coloured", "schedule": "mini_table"}


@pytest.mark.parametrize("change", [{"at": {"mni": {"dataset.size": 64}}}, {"tier": "mni"}])
def test_a_tier_that_does_not_exist_is_told_its_neighbour(tmp_path: Path, change: dict[str, Any]) -> None:
    (tmp_path / "tiers.yaml").write_text((EXPERIMENTS / "tiers.yaml").read_text())
    with pytest.raises(TableError, match=r"b.yaml: there is no tier 'mni'\. Did you mean mini\?"):
        load(tmp_path, GOOD | change)


def load(folder: Path, record: dict[str, Any]) -> None:
    (folder / "a").mkdir()
    (folder / "a/b.yaml").write_text(yaml.safe_dump(record))
    read.load_table(folder, "a/b")


MINIMAL: dict[str, Any] = {
    "paper": "A Paper", "label": "Table 1", "message": "It works.", "kind": "headline", "dataset": "coco",
    "metrics": {"box/AP": "AP"}, "source": "arXiv",
}  # fmt: skip


def tables(folder: Path, **named: dict[str, Any]) -> dict[str, Any]:
    (folder / "a").mkdir()
    for name, change in named.items():
        (folder / f"a/{name}.yaml").write_text(yaml.safe_dump(MINIMAL | change))
    return {name: read.load_table(folder, f"a/{name}") for name in named}


def test_a_cumulative_row_cannot_run_if_a_row_above_cannot(tmp_path: Path) -> None:
    rows = {
        "a": {},
        "b": {"unsupported": "no such head"},
        "c": {},
        "q": {"quoted": "another"},
        "d": {},
        "t": {"from": "a"},
    }
    table = tables(tmp_path, t={"kind": "cumulative", "rows": rows})["t"]
    assert [row.name for row in table.rows.values() if row.runs] == ["a", "t"]
    assert table.rows["d"].unsupported == "it adds to b, which cannot run: no such head"


def test_a_cumulative_row_adds_to_the_row_above(tmp_path: Path) -> None:
    rows = {"a": {"with": {"roi": "pool"}}, "b": {"set": {"x": 1}}, "c": {"quoted": "theirs"}, "d": {"set": {"y": 2}}}
    table = tables(tmp_path, t={"kind": "cumulative", "rows": rows})["t"]
    assert table.rows["d"].choices == {"roi": "pool"}
    assert table.rows["d"].assignments == {"x": 1, "y": 2}
    assert table.rows["d"].own == ("y",)


def test_a_row_that_tests_a_checkpoint_is_that_row_with_its_own_changes(tmp_path: Path) -> None:
    base = {"with": {"model": "m", "roi": "align"}}
    first = {"base": base, "rows": {"r": {"set": {"x": 1, "y": 1}}, "s": {"from": "r", "set": {"y": 2}}}}
    second = {"base": {"with": {"model": "other"}}, "rows": {"q": {"from": "a/one/s", "set": {"z": 3}}}}
    found = tables(tmp_path, one=first, two=second)
    assert found["one"].rows["s"].evaluates == "a/one/r"
    assert found["one"].rows["s"].assignments == {"x": 1, "y": 2}
    assert found["two"].rows["q"].choices == {"model": "m", "roi": "align"}
    assert found["two"].rows["q"].assignments == {"x": 1, "y": 2, "z": 3}


def test_what_cannot_run_cannot_be_tested_either(tmp_path: Path) -> None:
    rows = {"r": {"unsupported": "no head"}, "s": {"from": "r"}, "t": {"quoted": "theirs"}, "u": {"start": "r"}}
    table = tables(tmp_path, t={"rows": rows})["t"]
    assert table.rows["s"].unsupported == "it needs the checkpoint of a/t/r, which does not run: no head"
    assert [row.name for row in table.rows.values() if row.runs] == []


@pytest.mark.parametrize(("role", "key"), [("proposals", "dump_proposals"), ("labels", "dump_labels")])
def test_a_row_leaves_what_others_use(tmp_path: Path, role: str, key: str) -> None:
    rows = {"r": {"set": {key: True}}, "s": {role: "r"}, "t": {"unsupported": "no head"}, "u": {role: "t"}}
    table = tables(tmp_path, t={"rows": rows})["t"]
    assert table.rows["s"].uses == {role: "a/t/r"}
    assert table.rows["s"].runs
    assert table.rows["u"].unsupported == f"it needs the {role} of a/t/t, which does not run: no head"
    (tmp_path / "a/t.yaml").write_text(yaml.safe_dump(MINIMAL | {"rows": {"r": {}, "s": {role: "r"}}}))
    with pytest.raises(TableError, match=rf"rows.s: a/t/r leaves no {role}; give it set: {{{key}: true}}"):
        read.load_table(tmp_path, "a/t")


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ({"r": {"from": "q"}}, "rows.r: table a/t has no row 'q'"),
        ({"r": {"start": "a/t/r"}}, "wait for each other: a/t/r -> a/t/r"),
        ({"r": {"start": "s"}, "s": {"proposals": "r"}}, "wait for each other: a/t/r -> a/t/s -> a/t/r"),
        ({"r": {"start": "a/none/r"}}, "has no table 'a/none'"),
        ({"teacher": {}, "r": {"labels": "teahcer"}}, "rows.r: table a/t has no row 'teahcer'. Did you mean teacher"),
    ],
)
def test_a_row_is_told_what_it_cannot_use(tmp_path: Path, rows: dict[str, Any], says: str) -> None:
    with pytest.raises(TableError) as error:
        tables(tmp_path, t={"rows": rows})
    assert says in str(error.value)


def test_a_row_tests_a_row_whose_options_are_of_its_own_tier(tmp_path: Path) -> None:
    """With `tier: mini` nothing is translated: the row trained on shapes and was tested on COCO, hours later."""
    tables(tmp_path, t={"rows": {"r": {}}})
    (tmp_path / "a/u.yaml").write_text(yaml.safe_dump(MINIMAL | {"tier": "mini", "rows": {"s": {"from": "a/t/r"}}}))
    with pytest.raises(TableError) as error:
        read.load_table(tmp_path, "a/u")
    assert "a/u: rows.s.from: the options of a/t/r are those of tier paper, this file says `tier: mini`" in str(
        error.value
    )
    assert "run it with --tier mini" in str(error.value)


def test_claims_of_every_form(tmp_path: Path) -> None:
    rows = {name: {"published": {"box/AP": value}} for name, value in (("a", 30), ("b", 29), ("c", 29))}
    said = [
        {"better": "a", "worse": "b", "gain": 1, "quote": "by a point"},
        {"order": ["a", "b", "c"]},
        {"equal": ["b", "c"], "tolerance": 0.3},
        {"row": "a", "value": 30, "tolerance": 0.1},
    ]
    table = tables(tmp_path, t={"rows": rows, "claims": said})["t"]
    kinds = [(effect.kind, effect.better, effect.worse, effect.tolerance) for effect in table.effects]
    assert kinds == [
        ("gain", "a", "b", 0.5),
        ("order", "a", "b", 0.5),
        ("order", "b", "c", 0.5),
        ("equal", "b", "c", 0.3),
    ]
    assert [claim.tolerance for claim in table.claims] == [0.1, 0.5, 0.5]


def test_what_is_known_of_a_number(tmp_path: Path) -> None:
    rows = {"a": {"published": {"box/AP": {"value": 59.9, "sd": 0.39, "runs": 5, "confidence": "recalled"}}}}
    metrics = {"box/AP": "AP", "cost/image_ms": {"title": "ms", "better": "lower"}}
    rows["b"] = {"published": {"box/AP": None, "cost/image_ms": 195}}
    table = tables(tmp_path, t={"rows": rows, "metrics": metrics})["t"]
    (claim,) = table.claims  # what a machine takes is no claim
    assert (claim.value, claim.detail.sd, claim.detail.runs, claim.detail.confidence) == (59.9, 0.39, 5, "recalled")
    assert f"{claim.detail.runs}" == "5"  # as it is printed, of 5 runs
    assert (table.lower, table.costs, table.measures) == ({"cost/image_ms"}, ["cost/image_ms"], ["box/AP"])


@pytest.mark.parametrize(
    ("kind", "factor", "read_as"),
    [
        ("one_factor", "roi", {"roi": ("roi",)}),
        ("one_factor", ["roi", "x.y"], {"roi": ("roi", "x.y")}),
        ("factorial", ["roi", "backbone"], {"roi": ("roi",), "backbone": ("backbone",)}),
        (
            "cumulative",
            {"schedule": ["schedule", "nms"], "tta": "tta"},
            {"schedule": ("schedule", "nms"), "tta": ("tta",)},
        ),
    ],
)
def test_factors(tmp_path: Path, kind: str, factor: object, read_as: dict[str, tuple[str, ...]]) -> None:
    assert tables(tmp_path, t={"kind": kind, "factor": factor, "rows": {"r": {}}})["t"].factor == read_as


def test_what_deviates_from_the_source_is_printed(tmp_path: Path) -> None:
    rows = {"a": {"deviates": {"AMP": "32 bits"}}, "b": {}, "q": {"quoted": "theirs"}}
    table = tables(tmp_path, t={"deviates": {"CANVAS": "one of four"}, "rows": rows})["t"]
    assert table.rows["a"].deviates == {"CANVAS": "one of four", "AMP": "32 bits"}
    assert table.rows["b"].deviates == {"CANVAS": "one of four"}
    assert describe_deviations(table) == ["deviates: CANVAS: one of four", "deviates: AMP (a): 32 bits"]
