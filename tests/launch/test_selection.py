"""Selections of `lineage run`: tables, rows, papers, everything, and what a budget pays for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lineage.launch.cost_estimate import CostEstimate
from lineage.launch.plan import Plan, decide
from lineage.launch.selection import choose_within, list_cells, parse_duration, select_rows
from lineage.launch.slurm_task import read_cell_names, write_cell_names
from lineage.tables.table import TableError
from tests.launch.test_plan import cell

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def names(*words: str, everything: bool = False) -> list[str]:
    chosen = select_rows(EXPERIMENTS, words, everything)
    return [f"{one.table.name}/{row}" for one in chosen for row in one.rows]


def test_a_table_a_row_a_paper_and_all() -> None:
    assert len(names("mask_rcnn/table2c")) == 5
    assert names("experiments/mask_rcnn/table2c.yaml", "roi_pool") == ["mask_rcnn/table2c/roi_pool"]
    assert names("mask_rcnn/table2c/roi_align", "roi_pool") == [
        "mask_rcnn/table2c/roi_align",
        "mask_rcnn/table2c/roi_pool",
    ]
    assert names("mask_rcnn/table2c/roi_align", "fpn/table1/fpn", "mask_rcnn/table2c/roi_pool") == [
        "mask_rcnn/table2c/roi_align",
        "mask_rcnn/table2c/roi_pool",
        "fpn/table1/fpn",
    ]
    assert names("mask_rcnn/table2c", "roi_pool", "fpn/table1", "fpn") == [
        "mask_rcnn/table2c/roi_pool",
        "fpn/table1/fpn",
    ]
    assert names("fpn", "vitdet") == [*names("fpn"), *names("vitdet")]
    assert names("detectron2/mask_rcnn", "r50_c4_1x", "fpn/table1/fpn")[1:] == ["fpn/table1/fpn"]
    of_paper = names("mask_rcnn")
    assert {one.rpartition("/")[0] for one in of_paper} >= {"mask_rcnn/table1", "mask_rcnn/table2c"}
    assert set(of_paper) < set(names(everything=True))


@pytest.mark.parametrize(
    ("words", "everything", "says"),
    [
        ((), False, "which table"),
        (("mask_rcnn", "roi_pool"), False, "name the table before the row roi_pool"),
        (("mask_rcnn/table2c", "roi_pol"), False, "Did you mean roi_pool"),
        (("fpn/table1/fpn", "mask_rcnn/table2c/roi_pol"), False, "Did you mean roi_pool"),
        (("mask_rcn",), False, "has no table"),
        (("mask_rcnn",), True, "leave mask_rcnn out"),
    ],
)
def test_wrong_names(words: tuple[str, ...], everything: bool, says: str) -> None:
    with pytest.raises(TableError, match=says):
        select_rows(EXPERIMENTS, words, everything)


def test_seeds_are_those_planned_and_come_row_by_row() -> None:
    (chosen,) = select_rows(EXPERIMENTS, ["mask_rcnn/table2c", "roi_pool", "roi_align"], False)
    cells = list_cells([chosen], "mini", None)
    assert [(one.seed, one.row) for one in cells][:3] == [(0, "roi_pool"), (0, "roi_align"), (1, "roi_pool")]
    assert len(cells) == 6
    assert {one.tier for one in list_cells([chosen], None, 1)} == {"paper"}


@pytest.mark.parametrize(("text", "hours"), [("3h", 3), ("90m", 1.5), ("2d", 48), ("1.5", 1.5), ("30 min", 0.5)])
def test_durations(text: str, hours: float) -> None:
    assert parse_duration(text, "--budget") == pytest.approx(hours)


@pytest.mark.parametrize("text", ["", "0h", "soon", "-3h", "3w"])
def test_no_durations(text: str) -> None:
    with pytest.raises(TableError, match=f"^--hours {text}: expected hours"):
        parse_duration(text, "--hours")


def test_a_budget_pays_for_cells_with_all_that_they_wait_for() -> None:
    cells = {one.name: one for one in (cell("a"), cell("b"), cell("c"))}
    plan = Plan(cells, decide(cells, [], lambda *_: False), EXPERIMENTS.parent)
    a, b, c = cells
    costs = {a: CostEstimate(1.0, "CPU", ""), b: CostEstimate(3.0, "CPU", ""), c: CostEstimate(1.0, "CPU", "")}
    assert choose_within(plan, costs, 2.5) == [a, c]
    assert choose_within(plan, costs | {a: CostEstimate(None, "CPU", "")}, 2.5) == [c]


def test_a_list_of_cells_is_read_as_it_was_written(tmp_path: Path) -> None:
    (chosen,) = select_rows(EXPERIMENTS, ["mask_rcnn/table2c"], False)
    cells = list_cells([chosen], "mini", 2)
    write_cell_names(cells, tmp_path / "next.json")
    assert read_cell_names(tmp_path / "next.json") == cells
    (tmp_path / "next.json").write_text('[["mask_rcnn/table2c"]]')
    with pytest.raises(TableError, match="expected a list of"):
        read_cell_names(tmp_path / "next.json")


@pytest.mark.parametrize(
    "cell",
    [["../../x", "r", "mini", 0], ["a/b", "../..", "mini", 0], ["a/b", "r", "../..", 0], ["/etc/x", "r", "mini", 0],
     ["a/b", "r", "mini", -1], ["a/b", "r", "mini", 1e300], ["a/b", "r", "mini", True], ["a/b", None, "mini", 0]],
)  # fmt: skip
def test_a_cell_names_no_folder_elsewhere(tmp_path: Path, cell: list[object]) -> None:
    """Its run folder lies below those names."""
    (tmp_path / "cells.json").write_text(json.dumps([cell]))
    with pytest.raises(TableError, match="expected a list of"):
        read_cell_names(tmp_path / "cells.json")
