"""Tables of our own: from a row and what varies, or from runs; and the table that a sweep prints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lineage.cli.main import main
from lineage.results import paths
from lineage.results.entry import Entry
from lineage.tables import read
from lineage.tables.format.notes import describe_rows
from lineage.tables.own.from_runs import describe_seeds, list_gaps, tabulate_runs
from lineage.tables.own.sweep import SweptRun, render_sweep
from lineage.tables.own.variation import combine, read_setting, read_variation
from lineage.tables.own.write import render_own_table
from lineage.tables.table import TableError
from tests.tables import made

ROOT = Path(__file__).parents[2]
CONF = [ROOT / "conf"]
MINI = ["--with", "model=mask_rcnn", "dataset=shapes", "--tier", "mini"]
FROM = ["--from", "mask_rcnn/table2c/roi_align"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own whose tables lie over the shipped ones."""
    (tmp_path / "experiments" / "me").mkdir(parents=True)
    (tmp_path / "experiments" / "me" / "first.yaml").write_text(
        (ROOT / "experiments/mask_rcnn/table2c.yaml").read_text()
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_row_and_what_varies_become_a_table_that_passes_the_linter(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["new", "me/roi", *FROM, "--vary", "roi=pool,align", "regression=l1,giou", "--seeds", "5"]) == 0
    table = read.load_table(project / "experiments", "me/roi")
    assert (table.kind, table.baseline, table.is_own, table.seeds) == ("factorial", "align_l1", True, 5)
    assert [(row.choices["roi"], row.choices["regression"]) for row in table.rows.values()] == [
        ("pool", "l1"), ("pool", "giou"), ("align", "l1"), ("align", "giou"),
    ]  # fmt: skip
    assert table.rows["pool_l1"].choices["model"] == "mask_rcnn_c4"
    assert table.claims == []
    assert "lint     0 errors, 0 warnings" in capsys.readouterr().out
    assert main(["lint", "me/roi"]) == 0
    assert main(["new", "me/roi", *FROM, "--vary", "roi=pool,align"]) == 1
    assert "--overwrite" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("base", "vary", "metrics"),
    [
        (("model=mask_rcnn",), "roi=pool,align", ["mask/AP", "box/AP"]),
        (("model=faster_rcnn", "dataset=shapes_coloured"), "regression=l1,giou", ["box/AP"]),
        (("model=keypoint_rcnn",), "regression=l1,giou", ["box/AP", "keypoint/AP"]),
        (("model=centernet",), "upsampling=deconvolution,convolution", ["box/AP"]),
        (("model=deepmark",), "optimizer=sgd,adamw", ["box/AP", "keypoint/AP"]),
        (("model=panoptic_fpn", "dataset=coco_panoptic"), "roi=pool,align", ["mask/AP", "box/AP", "panoptic/PQ"]),
        (("model=faster_rcnn", "dataset=voc07"), "roi=pool,align", ["voc/mAP"]),
        (("model=rpn",), "optimizer=sgd,adamw", ["box/AR1000"]),
        (("model=dvtsr", "dataset=moving_shapes"), "optimizer=sgd,adamw", ["frame/PSNR"]),
    ],
)
def test_the_columns_are_what_the_rows_measure(
    project: Path, capsys: pytest.CaptureFixture[str], base: tuple[str, ...], vary: str, metrics: list[str]
) -> None:
    main(["new", "me/new", "--with", *base, "--vary", vary, "--tier", "mini", "--seeds", "2"])
    assert list(read.load_table(project / "experiments", "me/new").metrics) == metrics
    assert "T14" not in capsys.readouterr().out


def test_a_model_brings_its_own_dataset(project: Path) -> None:
    main(["new", "me/pose", "--with", "model=centernet_pose", "--vary", "optimizer.lr=0.001,0.002", "--tier", "mini"])
    assert read.load_table(project / "experiments", "me/pose").dataset == "shapes_figures"


def test_rows_of_a_table_of_a_small_tier_are_compared_at_it(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["new", "me/loss", "--with", "model=faster_rcnn", "--vary", "regression=l1,giou", "--tier", "mini"])
    for more in ([], ["--tier", "mini"]):
        capsys.readouterr()
        assert main(["compare", "me/loss/l1", "me/loss/giou", *more]) == 0
        printed = capsys.readouterr().out
        assert printed.startswith("choices\n  regression: l1 -> giou\n")
        assert "(published)" not in printed  # it has none
    assert main(["compare", "me/loss/l1", "me/loss/giou", "--tier", "minni"]) == 1
    assert "Did you mean mini" in capsys.readouterr().err


def test_one_factor_and_what_a_tier_makes_equal(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "me/opt", *FROM, "--vary", "optimizer=sgd,adamw"]) == 0
    table = read.load_table(project / "experiments", "me/opt")
    assert (table.kind, table.factor, table.baseline) == ("one_factor", {"optimizer": ("optimizer",)}, "sgd")
    assert "adamw and sgd are one experiment at tier mini" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["me/x", *FROM, "--vary", "rio=pool,align"], "there is no config group 'rio'. Did you mean roi?"),
        (["me/x", *FROM, "--vary", "roi=pool,alin"], "conf/roi has no 'alin'. Did you mean align?"),
        (["me/x", *FROM, "--vary", "roi=pool"], "expected two options"),
        (["me/x", *FROM, "--vary", "roi=pool,pool"], "twice"),
        (["me/x", *FROM, "--vary", "model.box.nms=0.3,0.5"], "has no such key. Did you mean"),
        (
            ["me/x", "--with", "model=mask_rcnn", "--vary", "model.box.nms_tresh=0.3,0.5"],
            "model.box.nms_tresh: the config has no such key. Did you mean model.box.nms_thresh",
        ),
        (
            ["me/x", "--with", "optimizer.lrr=1", "--vary", "roi=pool,align"],
            "optimizer.lrr: the config has no such key",
        ),
        (["me/x", *FROM, "--vary", "roi=pool,align", "--seeds", "0"], "--seeds 0: a row runs with 1 seed or more"),
        (["me/x", *FROM], "what varies?"),
        (["me/x", "--from", "mask_rcnn/table2c/roi_alin", "--vary", "roi=pool,align"], "Did you mean roi_align"),
        (
            ["me/x", *MINI, "--vary", "optimizer.lr=a,b"],
            "me/x is not written: optimizer.lr=a: optimizer.lr is a number",
        ),
        (["me/x", *MINI, "--vary", "model.box.nms_thresh=a,0.5"], "model.box.nms_thresh=a: nms_thresh of BoxHead is a"),
        (["me/x", *MINI, "--vary", "roi=pool,align", "--metric", "box/AP55"], "box/AP55 is not measured by CocoScorer"),
        (
            ["me/x", "--with", "model=retinanet", "--tier", "mini", "--vary", "roi=pool,align"],
            "pool and align are one experiment: retinanet has no part roi; of these it has backbone, regression, suppr",
        ),
        (
            ["me/x", "--with", "model=deepmark", "--tier", "mini", "--vary", "roi=pool,align"],
            "pool and align are one experiment: deepmark has no part roi",
        ),
        (
            ["me/x", *FROM, "--vary", "roi=pool,align", "--tier", "mini"],
            "the values of mask_rcnn/table2c/roi_align are",
        ),
        (["../x", *FROM, "--vary", "roi=pool,align"], "a table is called <folder>/<name>"),
    ],
)
def test_mistakes_are_explained(argv: list[str], says: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", *argv]) == 1
    captured = capsys.readouterr()
    assert says in captured.err
    assert len(captured.err.splitlines()) == 1
    assert not captured.out
    assert not (project / "experiments/me/x.yaml").exists()


def test_values_are_typed_and_brackets_are_one_value() -> None:
    variation = read_variation("model.sizes=[1,2],[3,4]", CONF)
    assert [level.value for level in variation.levels] == [[1, 2], [3, 4]]
    assert read_setting("model.box.nms=0.5", CONF).value == 0.5
    assert read_setting("roi=pool", CONF).is_group
    assert [row.name for row in combine([read_variation("a.b=0.3,0.5", CONF)])] == ["0_3", "0_5"]


def run(seed: int, *deviations: str, value: float = 30.0, **changes: Any) -> Entry:
    choices = {"model": "mask_rcnn", "roi": "align", "dataset": "shapes"}
    choices |= dict(text.split("=") for text in deviations if text.split("=")[0] in choices)
    told = made.entry(None, value, seed, tier="mini", deviations=sorted(deviations), choices=choices)
    return replace(told, **{"cell_digest": " ".join(sorted(deviations)) or "none", **changes})


def test_runs_become_a_table_of_what_they_varied() -> None:
    runs = [run(seed, *more, "schedule.steps=8") for more in ((), ("roi=pool",)) for seed in (0, 1)]
    own = tabulate_runs("me/sweep", runs, CONF)
    table = read.parse_table(own.name, render_own_table(own))
    assert {name: row.choices for name, row in table.rows.items()} == {
        "align": {"roi": "align"},
        "pool": {"roi": "pool"},
    }
    assert all(row.assignments == {"schedule.steps": 8} for row in table.rows.values())
    assert (table.baseline, table.tier, table.dataset, table.kind) == ("align", "mini", "shapes", "one_factor")
    assert table.seeds == 2, "as the runs have; without it `lineage run` trains a third of each"
    assert "`lineage run me/sweep --plan`" in describe_rows(table, [])[-1]  # at the tier of its file
    assert "`lineage run me/sweep --tier mini --plan`" in describe_rows(replace(table, tier="paper"), [])[-1]


@pytest.mark.parametrize(
    ("pool", "align", "says"),
    [
        ((0,), (0,), ""),
        ((0, 1), (0, 1), "every row has 0, 1, which are repeats of it"),
        (
            (0,),
            (1,),
            "pool has 0; align has 1: rows of different seeds are compared, so what differs may be the seeds'",
        ),
        ((2, 0), (0,), "pool has 0, 2; align has 0: rows of different seeds are compared"),
    ],
)
def test_seeds_of_a_row_are_repeats_and_rows_across_seeds_are_named(
    pool: tuple[int, ...], align: tuple[int, ...], says: str
) -> None:
    runs = [*(run(seed, "roi=pool") for seed in pool), *(run(seed, "roi=align") for seed in align)]
    own = tabulate_runs("me/sweep", runs, CONF)
    assert {row.name: own.seeds_of_rows[row.name] for row in own.rows} == {"pool": sorted(pool), "align": [*align]}
    line = describe_seeds(own.seeds_of_rows)
    assert line.startswith(says)
    assert bool(line) == bool(says)
    assert describe_seeds({}) == ""  # of a table that is written from no runs


def test_combinations_that_did_not_run_are_gaps() -> None:
    runs = [run(0, "roi=pool"), run(0, "model.size=9"), run(0)]
    own = tabulate_runs("me/sweep", [*runs, run(0), run(1)], CONF)
    assert (len(own.rows), own.seeds) == (3, 2)
    assert list_gaps(own.rows) == [{"model.size": 9, "roi": "pool"}] or list_gaps(own.rows) == [
        {"roi": "pool", "model.size": 9}
    ]


@pytest.mark.parametrize(
    ("runs", "says"),
    [
        ([run(0), run(1)], "seeds alone"),
        ([run(0), run(0, "roi=pool", tier="smoke")], "several tiers: mini, smoke"),
        ([run(0)], "two runs or more"),
        ([run(0), run(0, "~roi")], "removes a key"),
    ],
)
def test_runs_that_make_no_table(runs: list[Entry], says: str) -> None:
    with pytest.raises(TableError, match=says):
        tabulate_runs("me/sweep", runs, CONF)


def sweep(*values: tuple[str, float]) -> str:
    runs = [(seed, roi, value) for roi, value in values for seed in range(3)]
    return render_sweep([
        SweptRun([f"roi={roi}", f"seed={seed}", "model=mask_rcnn"], run(seed, f"roi={roi}", value=value + 0.1 * seed))
        for seed, roi, value in runs
    ])  # fmt: skip


def test_a_sweep_prints_its_table() -> None:
    text = sweep(("pool", 20.0), ("align", 30.0))
    head, pool, align = text.splitlines()[:3]
    assert head.split() == ["roi", "n", "mask", "AP"]
    assert pool.split() == ["pool", "3", "20.1", "(sd", "0.10)"]
    assert align.split() == ["align", "3", "30.1", "(sd", "0.10)", "(best)"]
    assert "(best)" not in sweep(("pool", 30.0), ("align", 30.0)).splitlines()[2]


def test_a_sweep_whose_jobs_failed_prints_what_finished() -> None:
    runs = [SweptRun(["roi=pool"], None), SweptRun(["roi=align"], run(0, "roi=align"))]
    text = render_sweep(runs)
    assert "align" in text
    assert "One seed each" in text
    assert render_sweep(runs[:1]) == ""


@pytest.mark.parametrize(("texts", "says"), [
    (["seed=0,1,2"], "seeds are repeats of each row, not rows: --seeds 3"),
    (["optimizer.lr=0.02,0.020"], "a level stands there twice"),
    (["roi=pool,align", "roi=pool,align"], "--vary roi: it stands there twice"),
])  # fmt: skip
def test_what_gives_equal_rows_is_no_variation(texts: list[str], says: str) -> None:
    with pytest.raises(TableError, match=says):
        combine([read_variation(text, CONF) for text in texts])


def test_a_sweep_without_evaluation_prints_no_table() -> None:
    runs = [SweptRun([f"roi={roi}"], run(0, f"roi={roi}", metrics={})) for roi in ("pool", "align")]
    assert render_sweep(runs) == ""


def test_a_project_without_tables_gets_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lineage.cli.tables import new

    monkeypatch.setattr(paths, "project", lambda: paths.PACKAGE)
    assert new._choose_folder() == Path("experiments")
