"""Free runs: conditions, order, columns; what they varied stands first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lineage.cli.main import main
from lineage.results import store
from lineage.results.entry import Entry
from lineage.tables.format.free_runs import read_value, render_runs
from lineage.tables.table import TableError
from tests.tables import made


def run(lr: float, value: float | None, steps: int = 600, model: str = "mask_rcnn") -> Entry:
    entry = made.entry(None, value, int(100 * lr), deviations=[f"optimizer.lr={lr}"], steps=steps)
    return replace(entry, choices={"model": model})


RUNS = [run(0.01, 20.0), run(0.02, 30.0), run(0.04, None, steps=300), run(0.08, 10.0, model="rpn")]


def column(text: str, name: str) -> list[str]:
    head, *lines = [line.split() for line in text.splitlines()[:-1]]
    return [line[head.index(name)] for line in lines]


def test_the_swept_value_stands_first_and_the_newest_run_on_top() -> None:
    text = render_runs(RUNS, [], "", [])
    assert text.split()[0] == "optimizer.lr"
    assert column(text, "optimizer.lr") == ["0.08", "0.04", "0.02", "0.01"]
    assert text.splitlines()[-1].startswith("4 of 4 free runs")


@pytest.mark.parametrize(
    ("conditions", "rates"),
    [
        (["model=mask_rcnn", "steps>500"], ["0.02", "0.01"]),
        (["lr<=0.02"], ["0.02", "0.01"]),
        (["model!=rpn", "steps=300"], ["0.04"]),
        (["mask/AP>15"], ["0.02", "0.01"]),
        (["mask/AP!=20"], ["0.08", "0.04", "0.02"]),
    ],
)
def test_conditions(conditions: list[str], rates: list[str]) -> None:
    assert column(render_runs(RUNS, conditions, "", ["optimizer.lr"]), "optimizer.lr") == rates


def test_order() -> None:
    assert column(render_runs(RUNS, [], "mask/AP", ["mask/AP"]), "mask/AP") == ["30", "20", "10", "-"]
    assert column(render_runs(RUNS, [], "-mask/AP", ["mask/AP"]), "mask/AP") == ["10", "20", "30", "-"]


def test_mistakes() -> None:
    with pytest.raises(TableError, match="Did you mean model"):
        render_runs(RUNS, ["modl=mask_rcnn"], "", [])
    with pytest.raises(TableError, match="is no condition"):
        render_runs(RUNS, ["mask_rcnn"], "", [])
    for operator in ("=", "!="):
        with pytest.raises(
            TableError, match=rf"model{operator}mask_rcn: no free run has this model. Did you mean mask_rc"
        ):
            render_runs(RUNS, [f"model{operator}mask_rcn"], "", [])
    assert "0 of 4 free runs" in render_runs(RUNS, ["model=centernet"], "", [])  # a model that none has, and no typo
    assert "No free runs" in render_runs([], [], "", [])
    assert read_value(RUNS[0], "nothing") is None


def test_a_metric_without_its_task_is_asked_back() -> None:
    runs = [made.entry(row=None, metrics={"box/AP": 1.0, "mask/AP": 2.0})]
    with pytest.raises(TableError, match=r"no free run has a value called 'AP'. Did you mean box/AP or mask/AP\?"):
        render_runs(runs, ["AP>3"], "", [])


def test_nothing_is_larger_than_nothing() -> None:
    with pytest.raises(TableError, match="'steps>' compares with nothing: write a value behind >"):
        render_runs(RUNS, ["steps>"], "", [])


def test_the_list_of_runs_goes_to_a_file_and_has_one_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store.write(made.entry(row=None), tmp_path / "results")
    command = ["table", "--runs", "--results", str(tmp_path / "results")]
    assert main([*command, "--as", "csv"]) == 1
    assert "--runs is a list of runs and no table: leave --as csv out" in capsys.readouterr().err
    assert main(command) == 0
    text = capsys.readouterr().out
    assert main([*command, "--out", str(tmp_path / "runs.txt")]) == 0
    assert (tmp_path / "runs.txt").read_text() == text


def test_a_key_that_no_run_typed_is_read_from_the_configs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It failed with "no free run has a value called 'optimizer.lr'"; a run that did not type it had no value."""
    for seed, typed in enumerate(([], [], ["optimizer.lr=0.5"])):
        lr = 0.5 if typed else 0.02
        config = {"optimizer": {"lr": lr, "nesterov": False, "warmup": None}}
        store.write(replace(made.entry(None, 20.0, seed, deviations=typed), config=config), tmp_path)
    runs = ["table", "--results", str(tmp_path), "--runs"]
    assert main([*runs, "optimizer.lr<1", "--columns", "optimizer.lr", "optimizer.nesterov", "optimizer.warmup"]) == 0
    text = capsys.readouterr().out
    assert column(text, "optimizer.lr") == ["0.5", "0.02", "0.02"]
    assert set(column(text, "optimizer.nesterov")) == {"false"}
    assert set(column(text, "optimizer.warmup")) == {"null"}
    for absent in ("optimizer.rate", "optimizer"):  # no key, and a node
        assert main([*runs, "--columns", absent]) == 1
        assert f"no free run has a value called '{absent}'" in capsys.readouterr().err


def test_columns_of_one_last_part_are_told_apart() -> None:
    keys = ["dataset.train.images", "dataset.val.images", "model.box.nms"]
    typed = [made.entry(None, 20.0, n, deviations=[f"{key}={n}" for key in keys]) for n in range(2)]
    head = render_runs(typed, [], "", []).split("\n")[0].split()
    assert head[:3] == ["train.images", "val.images", "nms"]
