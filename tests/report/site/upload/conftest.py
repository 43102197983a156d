"""A small site that also has runs of a table."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lineage.report.site.build import write_site
from lineage.report.site.parts import FolderWriter
from lineage.report.site.upload import contents
from tests.report.site.conftest import SmallSite
from tests.report.site.stores import make_entry, make_site_source, write_store

TABLE_ENTRIES = [("roi_pool", 1.7), ("roi_align", 3.6)]


@pytest.fixture(scope="session")
def table_site(small_site: SmallSite, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the site of the small store with two runs of mask_rcnn/table2c."""
    root = tmp_path_factory.mktemp("table-site")
    results = shutil.copytree(small_site.results, root / "results")
    rows = [make_entry(60 + i, ap, table="mask_rcnn/table2c", row=row) for i, (row, ap) in enumerate(TABLE_ENTRIES)]
    source = make_site_source(write_store(results, rows), small_site.runs)
    return write_site(FolderWriter(root / "site"), source).parent


@pytest.fixture
def short_site(table_site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the site, of which two pictures of one run are uploaded: drawing them takes time."""
    monkeypatch.setattr(contents, "FIRST_IMAGES", 2)
    monkeypatch.setattr(contents, "MOST_RUNS", 1)
    return shutil.copytree(table_site, tmp_path / "site")
