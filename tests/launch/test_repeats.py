"""A plan says which rows a tier makes one experiment."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from lineage.launch.cells import CellName
from lineage.launch.overview import find_repeats
from lineage.launch.plan import Plan, make_plan
from lineage.tables import read

ROOT = Path(__file__).parents[2]


def plan(table: str, *rows: str) -> Plan:
    names = [CellName(table, row, "smoke", seed) for seed in range(2) for row in rows]
    return make_plan(ROOT, partial(read.load_table, ROOT / "experiments"), names, [])


def test_schedules_that_a_tier_makes_one_are_told() -> None:
    repeats = find_repeats(plan("detectron2/retinanet", "r50_1x", "r50_3x"))
    assert repeats == {("detectron2/retinanet", "r50_3x", "smoke"): "same run as r50_1x at this tier"}


def test_rows_that_stay_apart_are_not() -> None:
    assert find_repeats(plan("mask_rcnn/table2c", "roi_pool", "roi_align")) == {}
