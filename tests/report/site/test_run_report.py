"""The report of a run is the view Run of the site in one file: it needs no network, and takes whatever a run left."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lineage.cli.report import main
from lineage.results.entry import dump
from lineage.results.run_folder import RunFolder
from lineage.run.inference.site_source import report_run
from tests.report.site.browser import Page
from tests.report.site.conftest import SmallSite
from tests.report.site.stores import (
    EXPERIMENTS,
    HOSTILE,
    make_entry,
    open_shapes,
    read_file_part,
    write_curves,
    write_run_folder,
)

TEXT = "document.querySelector('main').textContent"


def write_folder(folder: Path, rows: int = 20, per_class: dict[str, Any] | None = None, **changes: Any) -> Path:
    """Write a run folder without detections and its report; return the report."""
    entry = make_entry(**changes)
    folder.mkdir(parents=True, exist_ok=True)
    files = RunFolder(folder)
    files.entry.write_text(dump(entry))
    if rows:
        write_curves(files.metrics, entry, rows)
    if per_class:
        files.per_class.write_text(json.dumps(per_class))
    return report_run(folder, experiments=EXPERIMENTS)


def show(page: Page, report: Path) -> str:
    """Open a report and return its text."""
    page.open(report)
    page.wait("document.querySelector('.runhead')")
    text: str = page.run(TEXT)
    return text


def test_it_is_the_view_of_the_site(page: Page, small_site: SmallSite, tmp_path: Path) -> None:
    """Section by section, the report reads as the page of the run in the site of its store."""
    entry = small_site.entries[2]
    report = report_run(small_site.runs / "run-2", experiments=EXPERIMENTS)
    titles = (
        "[...document.querySelectorAll('main section h2, main figcaption')].map((one) => one.firstChild.textContent)"
    )
    show(page, report)
    page.wait("document.querySelectorAll('.matrix').length")
    own: Sequence[str] = page.run(titles)
    numbers = page.texts("table[aria-label=metrics] td")
    page.open(small_site.folder, f"#/run/{entry.id}")
    page.wait("document.querySelectorAll('.matrix').length")
    assert page.run(titles) == own
    assert page.texts("table[aria-label=metrics] td") == numbers
    assert {"Training", "Classes", "What goes wrong", "Confusions", "Again"} <= set(own)
    report.unlink()


def test_one_file_that_needs_nothing_else(page: Page, tmp_path: Path) -> None:
    entry = make_entry(dataset={"val": open_shapes().fingerprint})
    write_run_folder(tmp_path / "run", entry)
    pictures = RunFolder(tmp_path / "run").pictures
    pictures.mkdir()
    Image.new("RGB", (400, 1300), (200, 10, 10)).save(pictures / "predictions.png")
    report = report_run(tmp_path / "run", experiments=EXPERIMENTS).rename(tmp_path / "alone.html")
    show(page, report)
    page.wait("document.querySelector('.runpicture img')?.naturalWidth === 400")
    page.wait("document.querySelectorAll('.uplot').length >= 4")
    page.wait("document.querySelectorAll('.matrix').length === 1")
    assert page.run("[...document.querySelectorAll('main a[href]')].map((one) => one.href)") == []
    assert {url.partition(":")[0] for url in page.requests} <= {"file", "data", "about"}
    assert sum(url.startswith("file:") for url in page.requests) == 1
    height = "document.querySelector('.runpicture img').clientHeight"
    assert page.run(height) == 860, "the limit of views.css"
    page.click(".runpicture")
    assert page.run(height) == 1300
    page.call("Emulation.setEmulatedMedia", media="print")
    assert page.run(height) == 1300, "a button, but printed"
    page.call("Emulation.setEmulatedMedia", media="")


def test_numbers_paper_commands_and_config_are_there(page: Page, tmp_path: Path) -> None:
    row = {"table": "mask_rcnn/table2c", "row": "roi_align", "tier": "paper", "seed": 3}
    text = show(page, write_folder(tmp_path, metrics={"mask/AP": 34.25, "box/AP": 37.94}, **row))
    assert page.texts(".headline li")[0].startswith("34.2mask APpaper 30.3")
    for part in ("lineage rerun", "schedule.steps=400", "2 min 20 s", "3e25fe705167"):
        assert part in text


def test_a_small_run_is_not_held_against_the_paper(page: Page, tmp_path: Path) -> None:
    row = {"table": "mask_rcnn/table2c", "row": "roi_align", "deviations": [f"a.b{i}=1" for i in range(9)]}
    text = show(page, write_folder(tmp_path, **row))
    assert "paper" not in " ".join(page.texts(".headline li"))
    assert "paper, at full size" in text
    assert "9 deviations from the row" in text


def test_what_people_typed_is_text(page: Page, tmp_path: Path) -> None:
    changes: dict[str, Any] = {"error": HOSTILE, "note": HOSTILE, "status": "failed", "metrics": {}}
    text = show(
        page,
        write_folder(tmp_path, rows=0, per_class={HOSTILE: {"mask/AP": 1.0}}, command=["train.py", HOSTILE], **changes),
    )
    assert text.count("onerror") == 4
    assert page.run("document.querySelectorAll('main img, main script').length") == 0
    assert "document.title" not in page.run("document.title")


def test_classes_are_ranked_and_undefined_ones_last(page: Page, tmp_path: Path) -> None:
    values = {"rare": {"mask/AP": None}, "weak": {"mask/AP": 3.0}, "strong": {"mask/AP": 60.0}}
    show(page, write_folder(tmp_path, per_class=values))
    assert page.texts(".classes tbody th") == ["strong", "weak", "rare"]
    page.click(".classes th button", "class")
    assert page.texts(".classes tbody th") == ["rare", "strong", "weak"]


@pytest.mark.parametrize("curves", ["", "step,loss,lr\n5,nan,0.1\n", "step,loss\n5,1\n"])
def test_a_run_that_failed_early_has_a_page_too(page: Page, tmp_path: Path, curves: str) -> None:
    RunFolder(tmp_path).metrics.write_text(curves)
    missing: dict[str, Any] = {"hardware": {}, "peak_memory": None, "commit": None, "image_ms": None}
    text = show(page, write_folder(tmp_path, rows=0, status="failed", error="NotFinite: loss", metrics={}, **missing))
    assert "NotFinite: loss" in text
    assert "before its first evaluation" in text


def test_the_command_reads_a_run_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_folder(tmp_path / "runs" / "1").unlink()
    (tmp_path / "runs" / "site").mkdir()
    (tmp_path / "runs" / "site" / "index.html").write_text("")
    assert main([str(tmp_path / "runs" / "1"), "--experiments", str(EXPERIMENTS)]) == 0
    report = Path(capsys.readouterr().out.strip())
    assert report == tmp_path / "runs" / "1" / "report.html"
    assert read_file_part(report, "index")["report"]["site"] == "../site/index.html"
    assert not re.search(r"<link rel=.stylesheet|<script src|@import", report.read_text())


def test_a_folder_that_is_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 1
    assert "no entry.json" in capsys.readouterr().err
