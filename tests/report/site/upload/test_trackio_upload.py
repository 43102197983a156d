"""trackio's own reader finds the tables, the pictures and the pages of a site. Needs the extra trackio."""

from __future__ import annotations

from pathlib import Path

import pytest

from lineage.report.site.parts import read_part
from lineage.report.site.upload.contents import list_pictures
from lineage.report.site.upload.trackio_upload import upload_site
from lineage.train.trackers.local_stores import open_trackio


def test_tables_pictures_and_the_site_are_read_back_by_trackio(
    short_site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))  # before the import, which reads it
    pytest.importorskip("trackio", reason="the extra trackio is not installed")
    from trackio.sqlite_storage import SQLiteStorage

    name = upload_site(short_site, "sites", open_trackio(tmp_path / "unused"))
    index = read_part(short_site, "index")
    logged = {key: value for row in SQLiteStorage.get_logs("sites", name) for key, value in row.items()}
    # 1. The ablation table and AP by class.
    ablation = next(value for key, value in logged.items() if "mask_rcnn/table2c" in key and "mask/AP," in key)
    assert ablation["_type"] == "trackio.table"
    row = next(row for row in ablation["_value"] if row["row"] == "RoIAlign ave")
    assert row["ours"] == "1.1"  # mask AP: 3.6 - 2.5
    assert [*logged[f"classes/{index['runs'][0]['id']}"]["_value"][0]] == ["class", "box/AP", "mask/AP"]
    # 2. Pictures.
    pictures = next(list_pictures(short_site, index))
    image = logged[f"pictures/{pictures.run}/{pictures.images[0].name}"]
    assert image["_type"] == "trackio.image"
    assert image["caption"] == pictures.images[0].name
    # 3. The site.
    artifact = SQLiteStorage.get_artifact_manifest("sites", "lineage-site", "latest")
    assert {"index.html", "parts/index.js"} <= {entry["path"] for entry in artifact["manifest"]}
    assert capfd.readouterr().out == ""
