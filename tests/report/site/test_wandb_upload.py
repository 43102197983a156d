"""W&B is given what the pages show."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lineage.report.site.wandb_upload import list_pictures, list_tables, read_part, upload_site
from tests.report.site.conftest import SmallSite


def test_wandb_gets_the_numbers_of_the_pages(
    small_site: SmallSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = shutil.copytree(small_site.folder.parent, tmp_path / "site")
    index = read_part(site, "index")
    tables = {name: (columns, rows) for name, columns, rows in list_tables(site, index)}
    columns, rows = tables["runs"]
    assert [row[columns.index("box/AP")] for row in rows] == [
        entry.metrics.get("box/AP") for entry in small_site.entries
    ]
    columns, rows = tables[f"classes/{small_site.entries[0].id}"]
    assert columns[0] == "class"
    ((_, images), *_) = list_pictures(site, index)
    address, boxes, _ = images[0]
    assert (site / address).is_file()
    assert boxes["ground_truth"]["box_data"][0]["domain"] == "pixel"
    # offline, W&B itself takes all of it
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    folder = Path(upload_site(site, "lineage-test"))
    assert list(folder.parent.glob("*.wandb"))
