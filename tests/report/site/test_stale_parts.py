"""Parts of a site whose entries are gone."""

from __future__ import annotations

import shutil
from pathlib import Path

from lineage.report.site.build import write_site
from lineage.report.site.parts import FolderWriter
from lineage.results import store
from tests.report.site.conftest import SmallSite
from tests.report.site.stores import make_site_source
from tests.report.site.test_site import read_part


def test_parts_of_entries_that_are_gone_are_removed(small_site: SmallSite, tmp_path: Path) -> None:
    first, *_ = small_site.entries
    source = make_site_source(shutil.copytree(small_site.results, tmp_path / "results"), small_site.runs)
    root = write_site(FolderWriter(tmp_path / "site"), source).parent
    before = {path.relative_to(root) for path in root.rglob("*.js")}
    parts = {path for path in before if first.id in str(path)}
    assert {path.parts[1] for path in parts} == {"run", "curves", "analysis", "detections"}
    next((tmp_path / "results").rglob(f"{first.id}.json")).unlink()
    write_site(FolderWriter(tmp_path / "site"), source)
    assert {path.relative_to(root) for path in root.rglob("*.js")} == before - parts
    for entry in small_site.entries[1:]:
        (tmp_path / "results" / store.place(entry) / f"{entry.id}.json").unlink()
    write_site(FolderWriter(tmp_path / "site"), source)
    assert not list(root.glob("parts/truth/*"))
    assert read_part(root, "index")["runs"] == []
