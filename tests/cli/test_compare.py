"""Two rows, or two entries, side by side."""

from __future__ import annotations

from pathlib import Path

import pytest

from lineage.cli import compare
from lineage.results import store
from lineage.results.store import StoreError
from lineage.tables.find_entry import find_entry
from lineage.tables.table import TableError
from tests.tables import made


def test_rows_differ_in_the_factor_alone(capsys: pytest.CaptureFixture[str]) -> None:
    compare.main(["mask_rcnn/table2c/roi_pool", "mask_rcnn/table2c/roi_align"])
    told = capsys.readouterr().out
    assert told.startswith("choices\n  roi: pool -> align\n\nmetric")
    assert "mask/AP                   26.90                  30.30  +3.40" in told


def test_a_row_at_two_tiers(capsys: pytest.CaptureFixture[str]) -> None:
    compare.main(["mini/mask_rcnn/table2c/roi_pool", "experiment=mask_rcnn/table2c/roi_pool"])
    told = capsys.readouterr().out
    assert "dataset: shapes_coloured -> coco" in told
    assert "schedule: mini_table -> mask_rcnn" in told
    assert "roi:" not in told


def test_a_tier_is_that_of_rows_which_name_none(capsys: pytest.CaptureFixture[str]) -> None:
    compare.main(["mask_rcnn/table2c/roi_pool", "paper/mask_rcnn/table2c/roi_pool", "--tier", "mini"])
    assert "dataset: shapes_coloured -> coco" in capsys.readouterr().out


def test_a_row_that_is_not_there() -> None:
    with pytest.raises(TableError, match="Did you mean roi_pool"):
        compare.load_side("mask_rcnn/table2c/roi_poll", Path("results"))
    with pytest.raises(TableError, match=r"has no table .mask_rcnn/table2x.. Did you mean"):
        compare.load_side("mask_rcnn/table2x/roi_pool", Path("results"))


def test_of_a_row_the_newest_finished_run_is_meant(tmp_path: Path) -> None:
    for seed in range(3):
        store.write(made.entry("new", 30.0, seed, status="failed" if seed == 2 else "finished"), tmp_path)
        store.write(made.entry("old", 27.0, seed), tmp_path)
    a = store.read(find_entry(tmp_path, "paper/table/new"))
    assert a.seed == 1
    assert store.read(find_entry(tmp_path, "paper/table/old", like=a)).seed == 1
    assert store.read(find_entry(tmp_path, "paper/table/old")).seed == 2
    lost = store.write(made.entry("lost", 27.0, 0, status="stopped"), tmp_path)
    assert find_entry(tmp_path, lost.stem) == lost
    with pytest.raises(StoreError, match="`lineage table paper/table` says more"):
        find_entry(tmp_path, "paper/table/lost")


def test_two_runs_of_one_config_are_told_apart_by_their_seeds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [made.entry("new", 30.0 + seed, seed) for seed in (0, 1)]
    for run in runs:
        store.write(run, tmp_path)
    compare.main([runs[0].id, runs[1].id, "--results", str(tmp_path)])
    printed = capsys.readouterr().out
    assert printed.startswith("the configs are equal\n\notherwise\n  seed: 0 -> 1\n")
