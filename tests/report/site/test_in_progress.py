"""Runs in progress on the site, and what becomes of them there at their end."""

from __future__ import annotations

import json
from pathlib import Path

from lineage.report.site.in_progress import find_open_runs
from lineage.results.run_folder import RunFolder
from tests.report.site.browser import Page
from tests.report.site.stores import make_entry, make_site_source, write_run_folder, write_store
from tests.report.site.test_site import read_part, write_index


def test_runs_in_progress_and_killed_ones_are_listed(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "now"
    write_run_folder(folder, make_entry(5))
    files = RunFolder(folder)
    files.entry.unlink()
    files.start.write_text(
        json.dumps(
            {
                "id": "20261126T000000Z-aaaaaaaa-bbbbbb",
                "overrides": ["roi=pool", "seed=3"],
                "choices": {"model": "mask_rcnn"},
            }
        )
    )
    source = make_site_source(write_store(tmp_path / "results", [make_entry(0)]), tmp_path / "runs")
    (run,) = write_index(tmp_path / "site", source)["open"]
    assert (run["status"], run["steps"], run["name"]) == ("killed", 400, "mask_rcnn roi=pool seed=3")


def test_a_row_of_a_table_in_progress_is_called_by_its_table(tmp_path: Path) -> None:
    """It was `rpn_p2 experiment=mini/fpn/table1/finest seed=3 trainer=cpu`, as a free run of no table."""
    folder = tmp_path / "runs" / "now"
    folder.mkdir(parents=True)
    overrides = ["experiment=mini/fpn/table1/finest", "seed=3", "trainer=cpu", 'paths.runs="runs"']
    start = {"id": "a", "overrides": overrides, "choices": {"model": "rpn_p2", "experiment": overrides[0][11:]}}
    RunFolder(folder).start.write_text(json.dumps(start))
    source = make_site_source(write_store(tmp_path / "results", [make_entry(0)]), tmp_path / "runs")
    (run,) = write_index(tmp_path / "site", source)["open"]
    assert (run["name"], run["table"], run["row"], run["seed"]) == ("fpn/table1 finest", "fpn/table1", "finest", 3)
    assert run["deviations"] == []


def test_a_run_whose_last_row_was_shown_in_progress_gets_its_alerts_and_axes_at_its_end(
    page: Page, tmp_path: Path
) -> None:
    """Its curves were kept as those of a run in progress, and its alerts were null: no run was listed any more."""
    entry = make_entry(0, folder=str(tmp_path / "runs" / "now"))
    write_run_folder(tmp_path / "runs" / "now", entry)
    files = RunFolder(tmp_path / "runs" / "now")
    files.start.write_text(json.dumps({"id": entry.id, "choices": {"model": "mask_rcnn"}}))
    text = files.entry.read_text()
    files.entry.unlink()
    source = make_site_source(write_store(tmp_path / "results", [make_entry(1)]), tmp_path / "runs")
    assert [run["id"] for run in write_index(tmp_path / "site", source)["open"]] == [entry.id]
    files.entry.write_text(text)
    write_store(tmp_path / "results", [entry])
    index = write_index(tmp_path / "site", source)
    assert all(isinstance(run["alerts"], list) for run in index["runs"])
    assert read_part(tmp_path / "site", f"curves/{entry.id}")["images_per_step"] == 4
    page.open(tmp_path / "site" / "index.html")
    assert len(page.texts("tbody tr")) == 2


def test_a_start_that_was_refused_is_no_run(tmp_path: Path) -> None:
    files = RunFolder(tmp_path / "refused")
    files.checkpoints.mkdir(parents=True)
    files.start.write_text(json.dumps({"overrides": ["dataset=coco"], "choices": {"model": "mask_rcnn"}}))
    assert find_open_runs(tmp_path, ()) == []
    (files.checkpoints / "step-0000500.ckpt").touch()  # of a run that is older than the id in start.json
    assert [run.status for run in find_open_runs(tmp_path, ())] == ["killed"]
