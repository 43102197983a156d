"""Entries and a table for the tests, all alike but for what a test says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from lineage.launch.current_rows import make_finder
from lineage.results.entry import Entry, new_id
from lineage.tables import read
from lineage.tables.current import RowAtTier
from lineage.tables.table import Effect, Row, Table

PROJECT = Path(__file__).parents[2]
START = datetime(2026, 11, 23, 4, 3, 5, tzinfo=UTC)


def entry(row: str | None = "new", value: float | None = 30.0, seed: int = 0, **changes: Any) -> Entry:
    """A finished run of the paper's protocol; a later seed started later."""
    started = START + timedelta(seconds=seed)
    made = Entry(
        id=new_id(started, "a3d31b8b" + "0" * 56),
        table="paper/table" if row else None,
        row=row,
        tier="paper",
        status="finished",
        metrics={} if value is None else {"mask/AP": value},
        deviations=[],
        seed=seed,
        config_digest="a3d31b8b" + "0" * 56,
        evaluation_digest="e",
        choices={"model": "mask_rcnn", "roi": "align"},
        started=started.isoformat(),
        command=["train.py"],
        commit="c" * 40,
        dirty=False,
        config={"seed": seed, "model": {"_target_": "x.RCNN", "size": 7}},
    )
    return replace(made, **changes)


@cache
def find_digest(table: str, row: str, tier: str = "paper") -> str:
    """Return the digest of the cell of a shipped row as it is now: entries with it count."""
    experiments = PROJECT / "experiments"
    key = RowAtTier(row, tier)
    return make_finder(PROJECT, experiments)(read.load_table(experiments, table), [key])[key].cell_digest


def table(kind: str = "gain", gain: float | None = 3.0, dataset: str = "coco") -> Table:
    """Two rows, 27 and 30, and one effect between them."""
    rows = {name: Row(name, name, {}, {}, {"mask/AP": value}) for name, value in (("old", 27.0), ("new", 30.0))}
    return Table(
        name="paper/table",
        paper="A Paper",
        label="Table 1",
        message="New is better.",
        kind="one_factor",
        factor={"roi": ("roi",)},
        baseline="old",
        dataset=dataset,
        metrics={"mask/AP": "AP"},
        tolerance=0.5,
        source="arXiv",
        confidence="read in source",
        rows=rows,
        effects=[Effect(kind, "new", "old", "mask/AP", gain, 0.5)],
    )
