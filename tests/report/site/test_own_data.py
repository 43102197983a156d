"""Runs on photographs of one's own, and of another task."""

from __future__ import annotations

from pathlib import Path

import pytest

from lineage.report.site.build import write_site
from lineage.report.site.parts import FolderWriter
from lineage.report.site.records import name_dataset
from lineage.results.entry import dump
from lineage.results.run_folder import RunFolder
from tests.report.site.browser import Page
from tests.report.site.stores import make_entry, make_site_source, open_shapes, write_run_folder, write_store


def test_a_run_without_boxes_says_so_and_leads_to_its_page(page: Page, tmp_path: Path) -> None:
    """Pictures showed the detections of other runs in its place; metrics called like a loss were accuracies of it."""
    frames = make_entry(9, metrics={"frame/PSNR": 25.31, "frame/SSIM": 81.06}, folder=str(tmp_path / "runs" / "9"))
    other = make_entry(0, dataset={"val": open_shapes().fingerprint}, folder=str(tmp_path / "runs" / "0"))
    write_run_folder(tmp_path / "runs" / "0", other)
    (tmp_path / "runs" / "9").mkdir()
    files = RunFolder(tmp_path / "runs" / "9")
    files.entry.write_text(dump(frames))
    files.metrics.write_text("step,frame,frame/PSNR,frame/SSIM\n1,2,,\n2,1,,\n2,,20,60\n4,,25.31,81.06\n")
    source = make_site_source(write_store(tmp_path / "results", [frames, other]), tmp_path / "runs")
    site = write_site(FolderWriter(tmp_path / "site"), source)
    page.open(site, f"#/pictures?runs={frames.id}")
    text = page.run("document.querySelector('main').textContent")
    assert "only boxes and masks have their errors analysed" in text
    page.click("main a", "mask_rcnn")
    page.wait("document.querySelector('.headline')")
    assert page.texts(".headline b") == ["25.31"]
    page.wait("document.querySelectorAll('.uplot').length === 2")
    assert page.texts("figcaption") == ["Metrics over time", "Losses"]


@pytest.mark.parametrize(
    ("command", "table", "name"),
    [
        (["train.py", "dataset=coco", "dataset.root='/photos/my balloons/'"], None, "my balloons (coco)"),
        (["train.py", "dataset=coco", "dataset.root=/data/coco"], None, "coco"),
        (["train.py", "dataset=coco", "dataset.root=/data/COCO2017"], "mask_rcnn/table2c", "coco"),
        (["train.py"], None, "coco"),
    ],
)
def test_own_photographs_are_called_by_their_folder(command: list[str], table: str | None, name: str) -> None:
    """The site said `dataset coco` of everybody's photographs."""
    assert name_dataset(make_entry(command=command, table=table, choices={"dataset": "coco"})) == name
