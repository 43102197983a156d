"""W&B is given what the pages show: tables, the site, pictures with boxes and masks; read back from its own file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lineage.report.site.parts import FolderWriter, read_part
from lineage.report.site.polygons import IdShape, paint_ids
from lineage.report.site.upload.contents import CONFIDENT, list_pictures, list_tables
from lineage.report.site.upload.wandb_upload import describe_pictures, number_classes, upload_site
from tests.report.site.conftest import SmallSite
from tests.wandb_file import read_finished


def collect_history(records: Iterable[Any]) -> dict[str, Any]:
    """Return what was logged, by its key."""
    logged: dict[str, Any] = {}
    for item in (item for record in records for item in record.history.item):
        *path, last = list(item.nested_key) or [item.key]
        node = logged
        for name in path:
            node = node.setdefault(name, {})
        node[last] = json.loads(item.value_json)
    return logged


@pytest.fixture
def uploaded(table_site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The site of the small store with runs of a table, and the folder of its offline run of W&B."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    return table_site, Path(upload_site(table_site, "lineage-test")).parent


def test_tables_classes_pictures_and_the_site_are_in_the_file_of_wandb(uploaded: tuple[Path, Path]) -> None:
    site, folder = uploaded
    records = read_finished(next(folder.glob("*.wandb")))
    logged = collect_history(records)
    index = read_part(site, "index")

    def read_table(name: str) -> tuple[list[str], list[list[Any]]]:
        assert logged[name]["_type"] == "table-file"
        table = json.loads((folder / "files" / logged[name]["path"]).read_text())
        return table["columns"], table["data"]

    # 1. The runs and the ablation table, with the strings of the pages.
    columns, rows = read_table("runs")
    assert [row[columns.index("box/AP")] for row in rows] == [run["metrics"][0] for run in index["runs"]]
    ablation = next(name for name in logged if name.startswith("tables/mask_rcnn/table2c") and "AP (mask/AP" in name)
    columns, rows = read_table(ablation)
    assert columns[:2] == ["row", "ours"]
    assert next(row for row in rows if row[0] == "RoIAlign ave")[1] == "1.1"  # mask AP: 3.6 - 2.5
    # 2. AP by class.
    columns, rows = read_table(f"classes/{index['runs'][0]['id']}")
    assert columns == ["class", "box/AP", "mask/AP"]
    assert [row[1] for row in rows] == [10.0 * i for i in range(len(rows))]
    # 3. Pictures with boxes and id maps, in the size of the picture.
    with_pictures = next(run for run in index["runs"] if run.get("test"))
    pictures = logged[f"pictures/{with_pictures['id']}"]
    assert pictures["count"] == 12
    masks, boxes = pictures["all_masks"], pictures["all_boxes"]
    truth = read_part(site, f"truth/{with_pictures['test']}/0")
    for image, layers, of_image in zip(truth, masks, boxes, strict=True):
        stored = json.loads((folder / "files" / of_image["ground_truth"]["path"]).read_text())["box_data"]
        assert len(stored) == len(image["objects"])
        ids = np.asarray(Image.open(folder / "files" / layers["ground_truth"]["path"]))
        assert ids.shape == (image["h"], image["w"])
        assert set(np.unique(ids)) - {0} <= {one[0] + 1 for one in image["objects"]}
        x, y, w, h = image["objects"][0][1:5]
        assert ids[round(y + h / 2), round(x + w / 2)] > 0
    # 4. The site as an artifact.
    (artifact,) = [record.artifact for record in records if record.artifact.type == "site"]
    assert {"index.html", "parts/index.js"} <= {entry.path for entry in artifact.manifest.contents}


def test_pictures_have_the_detections_from_a_score_on(small_site: SmallSite) -> None:
    root = small_site.folder.parent
    index = read_part(root, "index")
    pictures_of_run = next(list_pictures(root, index))
    pictures, detections = describe_pictures(pictures_of_run), read_part(root, f"detections/{pictures_of_run.run}/0")
    for picture, found in zip(pictures, detections, strict=True):
        assert len(picture.boxes["predictions"]["box_data"]) == sum(one[1] >= CONFIDENT for one in found)
        assert picture.boxes["predictions"]["class_labels"] == picture.masks["ground_truth"]["class_labels"]
    assert any("overlap, the smaller on top" in picture.caption for picture in pictures)
    assert "runs" in {table.name for table in list_tables(root, index)}


def test_boxes_and_masks_of_a_large_image_are_in_the_pixels_of_its_jpeg(tmp_path: Path) -> None:
    """Boxes of images beyond 960 pixels were those of the file, on a picture that was smaller."""
    site, name = tmp_path / "site", "test"
    writer = FolderWriter(site)
    Image.new("RGB", (960, 480)).save(tmp_path / "a.jpg")
    source = writer.add_image("test/0", (tmp_path / "a.jpg").read_bytes)
    square = [200.0, 100.0, 400.0, 100.0, 400.0, 300.0, 200.0, 300.0]
    objects = [[0, 200.0, 100.0, 200.0, 200.0, 0, [square], None]]
    writer.add(f"pictures/{name}", lambda: {"positions": [0], "names": ["a.jpg"], "classes": ["cat"]})
    writer.add(f"truth/{name}/0", lambda: [{"w": 1920, "h": 960, "src": source, "objects": objects}])
    writer.add("detections/run/0", lambda: [[[0, 0.9, 200.0, 100.0, 200.0, 200.0, 0, None, None]]])
    (pictures,) = list_pictures(site, {"runs": [{"id": "run", "test": name}]})
    (picture,) = describe_pictures(pictures)
    expected = {"minX": 100, "minY": 50, "maxX": 200, "maxY": 150}
    assert picture.boxes["ground_truth"]["box_data"][0]["position"] == expected
    assert picture.boxes["predictions"]["box_data"][0]["position"] == expected
    ids = picture.masks["ground_truth"]["mask_data"]
    assert ids.shape == (480, 960)
    assert ids[50:151, 100:201].all()
    assert ids.sum() == 101 * 101
    assert set(picture.masks) == {"ground_truth"}


def test_small_masks_lie_on_large_ones_and_holes_stay_open() -> None:
    large, hole = [0, 0, 9, 0, 9, 9, 0, 9], [3, 3, 6, 3, 6, 6, 3, 6]
    small = [1, 1, 2, 1, 2, 2, 1, 2]
    shapes = [IdShape(1, 100, [large, hole]), IdShape(2, 4, [small])]
    ids, num_overlapping = paint_ids(shapes, (10, 10))
    assert ids[1, 1] == 2
    assert ids[8, 8] == 1
    assert ids[4, 4] == 0
    assert num_overlapping == 1


def test_a_thousand_classes_are_numbered_as_they_occur() -> None:
    assert number_classes([900, 7, 1100, 7], 1203) == {7: 1, 900: 2, 1100: 3}
    assert number_classes([], 80)[79] == 80
