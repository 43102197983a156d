"""A store of runs of several kinds: what is empty or repeated for the runs that are looked at is not shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lineage.report.site.build import write_site
from lineage.report.site.parts import FileWriter, FolderWriter
from lineage.results.run_folder import RunFolder
from tests.report.site.browser import Page
from tests.report.site.stores import make_entry, make_site_source, open_shapes, write_run_folder, write_store


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Two trainings, two tests of their weights, and a run of another task; the first test has its folder."""
    root = tmp_path_factory.mktemp("mixed")
    kinds = [("train", []), ("train", []), ("test", [0]), ("test", [1])]
    entries = []
    for number, (row, parents) in enumerate(kinds):
        steps = 400 if row == "train" else 0
        changes = {"steps": steps, "seconds": 140.0 if steps else 9.0, "step_seconds": 0.3 if steps else None}
        entries.append(
            make_entry(number, table="own/table", row=row, seed=number % 2, cell_digest=row * 10,
                       parents=[entries[i].id for i in parents], folder=str(root / "runs" / str(number)), **changes)
        )  # fmt: skip
    frames = make_entry(9, metrics={"frame/PSNR": 25.0}, choices={"model": "dvtsr", "dataset": "clips", "tier": "mini"})
    write_run_folder(root / "runs" / "2", entries[2])
    RunFolder(root / "runs" / "2").metrics.write_text("step,box/AP\n0,31.0\n")
    source = make_site_source(write_store(root / "results", [*entries, frames]), root / "runs")
    return write_site(FileWriter(root / "site.html"), source), [entry.id for entry in entries]


def open_anew(page: Page, site: Path, fragment: str = "") -> None:
    page.open(site)
    page.run("localStorage.clear()")
    page.open(site, fragment)


def test_columns_are_those_that_the_filtered_runs_have(page: Page, mixed: tuple[Path, list[str]]) -> None:
    open_anew(page, mixed[0])
    assert {"box AP", "frame PSNR, dB"} <= set(page.texts("th button"))
    page.write("input[type=search]", "model=dvtsr")
    assert "frame PSNR, dB" in page.texts("th button")
    assert "box AP" not in page.texts("th button")
    page.write("input[type=search]", "model=mask_rcnn")
    assert "box AP" in page.texts("th button")
    assert "frame PSNR, dB" not in page.texts("th button")
    page.write("input[type=search]", "status=finished")
    assert page.texts("th button")[:2] == ["run", "roi"]  # in what these runs differ
    page.write("input[type=search]", "model=no_such_model")  # no run: the heads stay
    assert "box AP" in page.texts("th button")


def test_a_run_that_tested_weights_has_no_training(page: Page, mixed: tuple[Path, list[str]]) -> None:
    site, ids = mixed
    open_anew(page, site, f"#/run/{ids[2]}")
    page.wait("document.querySelectorAll('.matrix').length")
    titles = page.texts("section h2")
    assert "Training" not in titles
    assert "Precision over recall" in titles


def test_runs_that_use_others_are_one_line_of_all_seeds(page: Page, mixed: tuple[Path, list[str]]) -> None:
    site, ids = mixed
    open_anew(page, site, "#/lineage")
    assert page.texts(".provenance tbody tr") == ["own/table test2own/table train"]
    page.click(".provenance a")
    page.wait("document.querySelector('svg.graph')")
    assert page.run("decodeURIComponent(location.hash)") == f"#/lineage/{ids[2]}+{ids[3]}"
    assert page.run("document.querySelectorAll('.graphnode').length") == 4


def test_the_number_of_picked_runs_is_that_of_the_address(page: Page, mixed: tuple[Path, list[str]]) -> None:
    site, ids = mixed
    open_anew(page, site, f"#/compare?runs={','.join(ids[:2])}")
    assert page.texts(".nav b") == ["2"]
    page.go(f"#/compare?runs={','.join(ids)}")
    assert page.texts(".nav b") == ["4"]


def test_a_run_of_boxes_is_shown_beside_one_of_masks(page: Page, tmp_path: Path) -> None:
    """Pictures could not be shown: the second run has no AP of masks."""
    fingerprint = {"val": open_shapes().fingerprint}
    masks = make_entry(0, dataset=fingerprint, folder=str(tmp_path / "runs" / "0"))
    boxes = make_entry(1, dataset=fingerprint, folder=str(tmp_path / "runs" / "1"), metrics={"box/AP": 20.0},
                       cell_digest="b" * 64, choices={"model": "retinanet", "dataset": "shapes"})  # fmt: skip
    for number, entry in enumerate([masks, boxes]):
        write_run_folder(tmp_path / "runs" / str(number), entry)
    results = RunFolder(tmp_path / "runs" / "1").results
    detections = json.loads(results.read_text())
    for detection in detections:
        del detection["segmentation"]
    results.write_text(json.dumps(detections))
    source = make_site_source(write_store(tmp_path / "results", [masks, boxes]), tmp_path / "runs")
    site = write_site(FolderWriter(tmp_path / "site"), source)
    page.open(site, f"#/pictures?runs={masks.id},{boxes.id}")
    page.wait("document.querySelectorAll('svg.picture').length === 3")
    assert page.run("document.querySelector('.seg button[aria-pressed=true]').textContent") == "box"
    assert page.texts(".imagelist button small")[0].count("\N{EN DASH}") == 0
    page.click(".seg button", "mask")
    assert page.texts(".imagelist button small")[0].endswith("\N{EN DASH}")
    page.go(f"#/compare?runs={masks.id},{boxes.id}")
    page.wait("document.querySelectorAll('table.matrix').length === 2")
    page.click(".seg button", "masks")
    page.wait("document.querySelectorAll('table.matrix').length === 1")
    assert any("whose detected masks are not here" in text for text in page.texts("section .more"))


def test_metrics_of_a_task_without_a_main_metric_are_compared(page: Page, tmp_path: Path) -> None:
    """Explanations of one model differ in nothing else, and costs that no run has were lines of dashes."""
    entries = [
        make_entry(number, metrics={"box/AP": 30.0, "box/AR1": 20.0, "explanation/pointing": 50.0 + number},
                   image_ms=None)
        for number in range(2)
    ]  # fmt: skip
    source = make_site_source(write_store(tmp_path / "results", entries), tmp_path / "runs")
    page.open(write_site(FileWriter(tmp_path / "site.html"), source), f"#/compare?runs={entries[0].id},{entries[1].id}")
    assert page.texts("table[aria-label=metrics] tbody th") == ["box AP", "explanation pointing"]
    costs = page.texts("table[aria-label='metrics of cost'] tbody th")
    assert "s/step" in costs
    assert "ms/image" not in costs
