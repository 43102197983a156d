"""Calibration and explanations of runs: on the page of a run, and side by side in Compare."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from lineage.report.site.build import write_site
from lineage.report.site.parts import FileWriter, FolderWriter, SiteWriter
from lineage.results.run_folder import RunFolder
from tests.report.site.browser import Page
from tests.report.site.stores import make_config, make_entry, make_site_source, write_run_folder, write_store

DIAGRAM = '<svg xmlns="http://www.w3.org/2000/svg" width="30" height="20"><rect width="30" height="20"/></svg>'


def write_judged_site(root: Path, writer: SiteWriter) -> tuple[Path, list[str]]:
    """Write the site of three runs, the first two calibrated and explained; return the page and the ids."""
    entries = []
    for number, roi in enumerate(("align", "pool", "warp")):
        config = make_config(**{"roi": {"_target_": f"lineage.ops.{roi}"}})
        folder = root / "runs" / f"run-{number}"
        deviations = [] if roi == "align" else [f"roi={roi}"]
        choices = {"model": "mask_rcnn", "roi": roi, "dataset": "shapes", "tier": "mini"}
        entry = make_entry(
            number, choices=choices, config=config, config_digest=roi * 10, folder=str(folder), deviations=deviations
        )
        write_run_folder(folder, entry)
        if roi != "warp":
            files = RunFolder(folder)
            files.pictures.mkdir()
            Image.new("RGB", (40 + number, 20)).save(files.pictures / "explanations.png")
            files.calibration_diagram.write_text(DIAGRAM)
        entries.append(entry)
    source = make_site_source(write_store(root / "results", entries), root / "runs")
    return write_site(writer, source), [entry.id for entry in entries]


def read_shown(page: Page) -> Sequence[Sequence[object]]:
    """Return (caption, width of the picture) of all that are drawn; a picture that was not read has no width."""
    page.wait("document.querySelectorAll('.runpicture img').length")
    page.wait("[...document.querySelectorAll('.runpicture img')].every((one) => one.complete)")
    shown: Sequence[Sequence[object]] = page.run("""[...document.querySelectorAll('.runpicture img')].map((one) =>
      [one.closest('figure').querySelector('figcaption').textContent, one.naturalWidth])""")
    return shown


@pytest.mark.parametrize("form", ["folder", "file"])
def test_calibration_and_explanations_are_in_compare_and_run(page: Page, tmp_path: Path, form: str) -> None:
    writer = FolderWriter(tmp_path / "site") if form == "folder" else FileWriter(tmp_path / "site.html")
    site, ids = write_judged_site(tmp_path, writer)
    page.open(site, f"#/run/{ids[0]}")
    assert sorted(read_shown(page)) == [["calibration", 30], ["explanations", 40]]
    page.go(f"#/compare?runs={','.join(ids)}")
    assert read_shown(page) == [
        ["mask_rcnn seed 0 · calibration", 30],
        ["roi=pool seed 1 · calibration", 30],
        ["mask_rcnn seed 0 · explanations", 40],
        ["roi=pool seed 1 · explanations", 41],
    ]
    page.click(".runpicture")  # as large as the page
    assert page.run("document.querySelectorAll('.runpicture.large').length") == 1
    page.go(f"#/compare?runs={ids[0]},{ids[2]}")  # one of two has them
    assert [caption for caption, _ in read_shown(page)] == [
        "mask_rcnn seed 0 · calibration",
        "mask_rcnn seed 0 · explanations",
    ]
