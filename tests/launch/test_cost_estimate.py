"""Forecasts by hand, from runs of which the parts are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lineage.launch.cells import Cell
from lineage.launch.cost_estimate import CostEstimate, estimate_cost
from lineage.launch.plan import TEST, TRAIN
from lineage.results.entry import Entry
from tests.launch.test_plan import cell, entry

CHOICES = {"model": "mask_rcnn", "backbone": "mini"}
SCHEDULE = {"schedule": {"steps": 600, "images_per_step": 16}}  # 9600 images
SPEEDS = "V100: {source: a table, images: 2, seconds: {mask_rcnn/mini: 0.5}}"


def planned(row: str = "a", tier: str = "mini") -> Cell:
    one = cell(row)
    composed = replace(one.composed, choices=CHOICES, config=SCHEDULE)
    return replace(one, name=one.name._replace(tier=tier), composed=composed)


def trained(row: str = "a", **changes: Any) -> Entry:
    """600 steps of 16 images at 8 images/s take 1200 s; start and test take the other 300 s."""
    facts = {"steps": 600, "seconds": 1500.0, "images_per_second": 8.0, "hardware": {"device": "CPU"}}
    return entry(row, **facts | {"choices": CHOICES, "config": SCHEDULE} | changes)


def evaluated(row: str = "a", **changes: Any) -> Entry:
    return trained(row, **{"steps": 0, "seconds": 180.0, "images_per_second": None} | changes)


@pytest.mark.parametrize(
    ("action", "entries", "hours", "basis"),
    [
        (TRAIN, [trained()], 1500 / 3600, "as 1 run on CPU"),
        (TEST, [evaluated()], 180 / 3600, "as 1 run on CPU"),
        (TEST, [evaluated(), evaluated(seconds=540.0)], 360 / 3600, "as 2 runs on CPU"),
        (TEST, [trained("other")], 300 / 3600, "as 1 run on CPU"),  # of the same model: what is not training
        (TRAIN, [trained("other"), evaluated("other")], 1500 / 3600, "as 2 runs on CPU"),
        (TRAIN, [trained(processes=2)], (2400 + 300) / 3600, "as 1 run on CPU"),  # 4 images/s and device
        (TRAIN, [trained(), trained("other", seconds=9999.0)], 1500 / 3600, "as 1 run on CPU"),  # the cell's own
        (TRAIN, [evaluated()], None, "no run of this model on CPU yet"),
        (TRAIN, [trained(hardware={"device": "H100"})], None, "no run of this model on CPU yet"),
        (TRAIN, [trained(status="failed")], None, "no run of this model on CPU yet"),
        (TRAIN, [trained(tier="paper")], None, "no run of this model on CPU yet"),
        (TEST, [trained("other", choices=CHOICES | {"model": "rpn"})], None, "no run of this model on CPU yet"),
    ],
)
def test_by_earlier_runs(action: str, entries: list[Entry], hours: float | None, basis: str, tmp_path: Path) -> None:
    (tmp_path / "speeds.yaml").write_text(SPEEDS)  # of the paper's tier, so without effect here
    found = estimate_cost(planned(), action, entries, "CPU", tmp_path)
    assert found == CostEstimate(hours if hours is None else pytest.approx(hours), "CPU", basis)


def test_by_published_speeds(tmp_path: Path) -> None:
    """2 images in 0.5 s are 4 images/s: 2400 s of training."""
    (tmp_path / "speeds.yaml").write_text(SPEEDS)
    found = estimate_cost(planned(tier="paper"), TRAIN, [], "CPU", tmp_path)
    assert found == CostEstimate(pytest.approx(2400 / 3600), "V100", "training alone, on V100: a table")
    assert estimate_cost(planned(tier="paper"), TEST, [], "CPU", tmp_path).hours is None
