"""The site on a phone."""

from __future__ import annotations

from pathlib import Path

import pytest

from lineage.report.site.build import write_site
from lineage.report.site.parts import FolderWriter
from tests.report.site.browser import Page
from tests.report.site.conftest import SmallSite
from tests.report.site.stores import make_entry, make_site_source, write_store


@pytest.mark.parametrize("width", [320, 390, 639])
def test_buttons_of_a_picture_stay_on_one_line(page: Page, small_site: SmallSite, width: int) -> None:
    page.resize(width, 800)
    page.open(small_site.folder, f"#/pictures?runs={small_site.entries[0].id}")
    page.wait("document.querySelector('svg.picture')")
    tops = "new Set([...document.querySelectorAll('.stagebar button')].map((one) => one.getBoundingClientRect().top))"
    assert page.run(f"{tops}.size") == 1
    assert page.run("document.documentElement.scrollWidth") <= width


def test_claims_of_a_table_are_read_on_a_phone_without_scrolling(page: Page, tmp_path: Path) -> None:
    rows = [("roi_pool", 1.7), ("roi_align", 3.6)]
    entries = [make_entry(3 * i + seed, ap + seed / 10, table="mask_rcnn/table2c", row=row, seed=seed)
               for i, (row, ap) in enumerate(rows) for seed in range(3)]  # fmt: skip
    source = make_site_source(write_store(tmp_path / "results", entries), tmp_path / "runs")
    page.resize(390, 800)
    page.open(write_site(FolderWriter(tmp_path / "site"), source), "#/tables/mask_rcnn/table2c")
    badges = "[...document.querySelectorAll('.kind-claims .badge')]"
    assert page.run(f"{badges}.length") > 0
    assert page.run(f"Math.max(...{badges}.map((one) => one.getBoundingClientRect().right))") <= 390


@pytest.mark.parametrize("width", [900, 390])
def test_the_numbers_of_the_family_tree_are_seen_without_scrolling(
    page: Page, small_site: SmallSite, width: int
) -> None:
    """The column of what was reached here lay beyond the right edge."""
    page.resize(width, 844)
    page.open(small_site.folder, "#/lineage")
    page.wait("document.querySelector('.tree td a')")
    assert (
        page.run(
            "(() => { const box = document.querySelector('.treebox'); return box.scrollWidth - box.clientWidth; })()"
        )
        <= 0
    )
    assert page.run("document.querySelector('.tree td a').getBoundingClientRect().right") <= width
