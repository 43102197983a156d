"""A validation split may have no objects, or no annotations at all; a training split may not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lineage.data.formats import coco
from lineage.eval.protocols.coco import CocoScorer


def write(folder: Path, document: dict[str, Any]) -> Path:
    Image.new("RGB", (32, 24)).save(folder / "1.png")
    images = [{"id": 1, "file_name": "1.png", "height": 24, "width": 32}]
    path = folder / "val.json"
    path.write_text(json.dumps({"images": images, "categories": [{"id": 3, "name": "a"}], **document}))
    return path


@pytest.mark.parametrize("document", [{"annotations": []}, {}], ids=["no objects", "a test server's"])
def test_a_validation_split_without_objects_opens(document: dict[str, Any], tmp_path: Path) -> None:
    path = write(tmp_path, document)
    dataset = coco.load(annotations=str(path), images=str(tmp_path), config_node="dataset.val")
    assert len(dataset) == 1
    assert len(dataset[0].labels) == 0
    assert dataset.ground_truth()["annotations"] == []
    assert "box" in CocoScorer(dataset=dataset).tasks
    with pytest.raises(ValueError, match=r"no list `annotations`|nothing to learn|no image is left"):
        coco.load(annotations=str(path), images=str(tmp_path), config_node="dataset.train")
