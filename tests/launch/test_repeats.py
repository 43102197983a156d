"""A plan says which rows a tier makes one experiment."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from lineage.cli.run import repeats
from lineage.launch import plan
from lineage.launch.plan import Name
from lineage.tables import read

ROOT = Path(__file__).parents[2]


def planned(table: str, *rows: str) -> plan.Plan:
    asked = [Name(table, row, "smoke", seed) for seed in range(2) for row in rows]
    return plan.make(ROOT, ROOT / "results", partial(read.load_table, ROOT / "experiments"), asked, held=[])


def test_schedules_that_a_tier_makes_one_are_told() -> None:
    told = repeats(planned("detectron2/retinanet", "r50_1x", "r50_3x"))
    assert told == {("detectron2/retinanet", "r50_3x", "smoke"): "same run as r50_1x at this tier"}


def test_rows_that_stay_apart_are_not() -> None:
    assert repeats(planned("mask_rcnn/table2c", "roi_pool", "roi_align")) == {}
