"""MLflow's own client finds the tables, the pictures and the pages of a site. Needs the extra mlflow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lineage.report.site.parts import file_name, read_part
from lineage.report.site.upload.contents import list_pictures
from lineage.report.site.upload.mlflow_upload import PARENT, TABLES, upload_site
from lineage.report.site.upload.paint_image import paint_image
from lineage.train.trackers.local_stores import find_mlflow_store

mlflow = pytest.importorskip("mlflow", reason="the extra mlflow is not installed")


def list_files(client: Any, run: str, path: str | None = None) -> list[str]:
    files = client.list_artifacts(run, path)
    return [name for one in files for name in (list_files(client, run, one.path) if one.is_dir else [one.path])]


@pytest.fixture(name="uploaded")
def upload(short_site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Any, dict[str, Any]]:
    """The folder of the site, MLflow's client, and its runs by their names."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    address, artifacts = find_mlflow_store(None, tmp_path / "mlflow.db")
    upload_site(short_site, "sites", address, artifacts)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)  # where mlflow.load_table looks
    client = mlflow.tracking.MlflowClient(address)
    runs = client.search_runs([client.get_experiment_by_name("sites").experiment_id])
    return short_site, client, {run.info.run_name: run for run in runs}


def test_tables_pictures_and_the_site_are_read_back_by_mlflow(
    uploaded: tuple[Path, Any, dict[str, Any]], tmp_path: Path
) -> None:
    site, client, runs = uploaded
    index = read_part(site, "index")

    def read_table(run: str, path: str) -> tuple[list[str], list[list[Any]]]:
        number = runs[run].info.run_id
        table = json.loads(Path(client.download_artifacts(number, path, str(tmp_path))).read_text())
        return table["columns"], table["data"]

    parent = runs[f"site of {index['store']}"]
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    assert {run.data.tags.get(PARENT) for run in runs.values()} == {None, parent.info.run_id}
    # 1. The runs and the ablation table, with the strings of the pages; MLflow shows both as tables.
    columns, rows = read_table(f"site of {index['store']}", "runs.json")
    assert [row[columns.index("box/AP")] for row in rows] == [run["metrics"][0] for run in index["runs"]]
    listed = [one["path"] for one in json.loads(runs["mask_rcnn/table2c"].data.tags[TABLES])]
    columns, rows = read_table("mask_rcnn/table2c", next(path for path in listed if "AP__mask_AP" in path))
    assert columns[:2] == ["row", "ours"]
    assert next(row for row in rows if row[0] == "RoIAlign ave")[1] == "1.1"  # mask AP: 3.6 - 2.5
    # 2. AP by class.
    columns, rows = read_table("classes", f"{index['runs'][0]['id']}.json")
    assert columns == ["class", "box/AP", "mask/AP"]
    assert [row[1] for row in rows] == [10.0 * i for i in range(len(rows))]
    # 3. Pictures with boxes and masks.
    pictures = next(list_pictures(site, index))
    path = f"pictures/{pictures.run}/{file_name(pictures.images[0].name)}.png"
    stored = Image.open(client.download_artifacts(parent.info.run_id, path, str(tmp_path))).convert("RGB")
    assert np.array_equal(np.asarray(stored), np.asarray(paint_image(pictures.images[0])))
    # 4. The site.
    assert {"site/index.html", "site/parts/index.js"} <= set(list_files(client, parent.info.run_id, "site"))


def test_mlflow_loads_a_table_as_its_own(uploaded: tuple[Path, Any, dict[str, Any]]) -> None:
    pytest.importorskip("pandas", reason="mlflow.load_table needs pandas")
    site, client, _ = uploaded
    table = client.load_table(client.get_experiment_by_name("sites").experiment_id, "runs.json")
    runs = read_part(site, "index")["runs"]
    assert list(table["id"]) == [run["id"] for run in runs]
    assert list(table["seed"]) == [run["seed"] for run in runs]
