"""Entries count for a row only if they are of the row as its file says it now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from lineage.launch.current_rows import make_finder
from lineage.results import store
from lineage.results.entry import Entry
from lineage.tables import read
from lineage.tables.current import CurrentCell, EarlierRuns, RowAtTier, find_differences, split_entries
from lineage.tables.format.load import TableLoader
from lineage.tables.format.notes import describe_code, describe_earlier
from lineage.tables.format.overview import render_overview
from lineage.tables.table import Table
from tests.tables import made

ROOT = Path(__file__).parents[2]
TABLE_2C = "mask_rcnn/table2c"
NOW = {"model": {"_target_": "x.RCNN", "size": 7}, "optimizer": {"lr": 0.02}, "seed": 0, "dataset": {"root": "/here"}}


def find_current(_: Table, rows: Iterable[RowAtTier]) -> Mapping[RowAtTier, CurrentCell]:
    return {row: CurrentCell("now", NOW) for row in rows if row.tier == "paper"}


def split(*entries: Entry) -> tuple[list[Entry], list[EarlierRuns]]:
    return split_entries(made.table(), list(entries), find_current, lambda entry: entry)


def test_the_digest_of_the_row_decides() -> None:
    current = made.entry("new", 30.0, cell_digest="now", config=NOW)
    before = made.entry("new", 29.0, 1, cell_digest="then", config=NOW | {"optimizer": {"lr": 0.01}})
    counting, earlier = split(before, current)
    assert counting == [current]
    assert earlier == [EarlierRuns("new", "paper", (before.id,), "optimizer.lr: 0.01 -> 0.02")]
    (note,) = describe_earlier(earlier)
    assert "new: 1 run is of an earlier config at tier paper and not counted: optimizer.lr: 0.01 -> 0.02" in note


def test_a_clock_that_is_ahead_pushes_nothing_out() -> None:
    good = [made.entry("new", 30.0, seed, cell_digest="now", config=NOW) for seed in range(3)]
    ahead = made.entry("new", 99.0, 3, id="20271124T000000Z-ffffffff-ffffff", cell_digest="then", config={"x": 1})
    assert split(ahead, *good)[0] == good


def test_a_changed_parent_is_named_as_such() -> None:
    assert (
        split(made.entry("new", cell_digest="then", config=NOW))[1][0].reason
        == "a row whose result it uses has changed"
    )


def test_runs_that_deviate_are_compared_beside_their_deviations() -> None:
    typed = ["optimizer.lr=0.1"]
    same = made.entry("new", deviations=typed, cell_digest="d", config=NOW | {"optimizer": {"lr": 0.1}})
    other = replace(same, id=f"{same.id[:-6]}ffffff", cell_digest="e", config=same.config | {"model": {"size": 5}})
    counting, earlier = split(same, other)
    assert counting == [same]
    assert "model" in earlier[0].reason
    option = made.entry("new", deviations=["roi=pool"], cell_digest="f", config={"x": 1})
    assert split(option) == ([option], [])


def test_an_entry_from_before_cells_counts_if_its_config_is_the_same() -> None:
    old = made.entry("new", config=NOW | {"dataset": {"root": "/elsewhere"}})
    assert split(old) == ([old], [])
    assert split(replace(old, config={"model": {"size": 5}}))[0] == []


def test_what_a_run_reads_from_its_dataset_is_no_difference() -> None:
    before, now = (
        {"dataset": {"classes": 5}, "box": {"classes": 5}},
        {"dataset": {"classes": "???"}, "box": {"classes": "???"}},
    )
    assert find_differences(before, now, []) == []
    now = {"dataset": {"classes": None, "size": 9}, "box": {"num_classes": None}, "top_k": 50}
    before = {"dataset": {"classes": 5, "size": 9}, "box": {"num_classes": 5}, "top_k": 2000}
    assert list(map(str, find_differences(before, now, []))) == ["top_k: 2000 -> 50"]


def test_entries_of_unknown_rows_and_tiers() -> None:
    gone, tier = made.entry("gone"), made.entry("new", tier="tiny")
    counting, earlier = split(gone, tier)
    assert counting == [gone]
    assert earlier[0].reason == "there is no tier tiny any more"
    assert split(replace(tier, status="failed")) == ([], [])


def test_the_shipped_runs_are_those_of_the_rows_today() -> None:
    loader = TableLoader(ROOT / "experiments", ROOT / "results", make_finder(ROOT, ROOT / "experiments"))
    filled = loader.load(TABLE_2C)
    shipped = store.contents(ROOT / "results" / TABLE_2C).entries
    assert (len(filled.entries), filled.earlier) == (len(shipped), [])
    assert filled.background.learning["mask_rcnn_c4"]["mask/AP50"].floor == pytest.approx(10.3)


def test_a_table_with_another_model_shows_no_verdict_of_the_old_one(tmp_path: Path) -> None:
    """Base changed to another model and backbone: before, table and quote went on with the old numbers."""
    table = read.load_table(ROOT / "experiments", TABLE_2C)
    rows = {name: replace(row, choices=row.choices | {"model": "mask_rcnn"}) for name, row in table.rows.items()}
    finder = make_finder(ROOT, ROOT / "experiments")
    entries = [entry for entry in store.contents(ROOT / "results" / TABLE_2C).entries]
    as_shipped = finder(table, [RowAtTier("roi_pool", "mini")])
    assert {entry.cell_digest for entry in entries if entry.row == "roi_pool"} == {
        as_shipped["roi_pool", "mini"].cell_digest
    }

    def find_changed(_: Table, wanted_rows: Iterable[RowAtTier]) -> Mapping[RowAtTier, CurrentCell]:
        return {row: CurrentCell("other", {"model": {"_target_": "other"}}) for row in wanted_rows}

    counting, earlier = split_entries(replace(table, rows=rows), entries, find_changed, lambda entry: entry)
    assert counting == []
    assert sum(len(runs.ids) for runs in earlier) == sum(entry.status == "finished" for entry in entries)
    assert all(runs.reason.startswith("model") for runs in earlier)
    loader = TableLoader(ROOT / "experiments", ROOT / "results", find_changed)
    text = render_overview(loader, everything=False, paper="mask_rcnn")
    shipped = store.contents(ROOT / "results" / "mask_rcnn").entries
    count = sum(entry.status == "finished" for entry in shipped)
    assert f"Runs of an earlier config, not counted: {count}" in text
    assert "same sign" not in text


def test_the_commits_behind_a_table_are_named() -> None:
    commits = ["3e25fe705167249af77b73c02bbee487969d8ad9", "0" * 40]
    entries = [made.entry("new", 30.0, seed, commit=commit) for seed, commit in enumerate(commits)]
    (note,) = describe_code(entries, ROOT)
    assert "tier paper" in note
    assert "3e25fe7" in note or "no commit that this checkout has" in note  # a copy without its history
    if "3e25fe7" in note:
        assert "1 of other commits" in note
        assert "of src/lineage/(models, ops, eval, data, train) changed" in note
