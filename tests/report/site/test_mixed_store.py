"""A store of runs of several kinds: what is empty or repeated for the runs that are looked at is not shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from lineage.report.site.build import write_site
from lineage.report.site.parts import FileWriter
from lineage.results.run_folder import RunFolder
from tests.report.site.browser import Page
from tests.report.site.stores import make_entry, make_site_source, write_run_folder, write_store


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
