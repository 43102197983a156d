"""Columns as a COCO dict: every field is that of the file they were read from, and none is added."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from lineage.data.annotations.indexed_dataset import IndexedDataset
from lineage.data.annotations.to_coco import complete_annotation, to_coco_dict
from lineage.data.formats.coco import load as coco
from tests.data import folder

POINTS = {1: [3, 4, 2, 0, 0, 0, 9, 8, 1], 2: [0, 0, 0, 0, 0, 0, 11, 3, 2], 3: [0] * 9}  # x, y, visibility of three
CROWD = {"size": [20, 30], "counts": [45, 10, 545]}


def open_content(root: Path, content: dict[str, Any]) -> IndexedDataset:
    folder.write(root, content)
    return coco(root=str(root), images="images", annotations=str(root / "train.json"))


def drop_masks(annotations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in entry.items() if key != "segmentation"} for entry in annotations]


def test_keypoints_boxes_and_masks_are_those_of_the_file(tmp_path: Path) -> None:
    content = folder.content(3)
    for number, entry in enumerate(content["annotations"], 1):
        entry |= {"keypoints": POINTS[number], "num_keypoints": sum(value > 0 for value in POINTS[number][2::3])}
    crowd = {"segmentation": CROWD, "iscrowd": 1, "area": 10, "bbox": [2, 5, 1, 10], "category_id": 9}
    content["annotations"].append(folder.annotation(8, 30, **crowd, keypoints=[0] * 9, num_keypoints=0))
    skeleton = {"keypoints": ["nose", "left_ear", "right_ear"], "skeleton": [[1, 2], [2, 3]]}
    content["categories"] = [category | skeleton for category in content["categories"]]
    data = open_content(tmp_path, content)
    back = to_coco_dict(data.columns, data.meta, {})
    assert drop_masks(back["annotations"]) == drop_masks(content["annotations"])
    assert sorted(back["categories"], key=lambda category: category["id"]) == [
        {"id": 4, "name": "cat", **skeleton}, {"id": 9, "name": "dog", **skeleton}
    ]  # fmt: skip
    for ours, theirs in zip(back["annotations"], content["annotations"], strict=True):
        official = theirs["segmentation"]
        rle = coco_mask.merge(coco_mask.frPyObjects(official, 20, 30)) if isinstance(official, list) else None
        rle = rle or coco_mask.frPyObjects(official, 20, 30)
        assert np.array_equal(coco_mask.decode(ours["segmentation"]), coco_mask.decode(rle))
        assert ours["segmentation"]["size"] == [20, 30]
    assert [(image["id"], image["file_name"], image["height"], image["width"]) for image in back["images"]] == [
        (10, "1.png", 20, 30), (20, "2.png", 20, 30), (30, "3.png", 20, 30)
    ]  # fmt: skip


def test_without_keypoints_and_masks_there_is_no_such_field(tmp_path: Path) -> None:
    content = folder.content(2)
    content["annotations"] = drop_masks(content["annotations"])
    data = open_content(tmp_path, content)
    back = to_coco_dict(data.columns, data.meta, {})
    assert back["annotations"] == content["annotations"]
    assert sorted(map(tuple, (category.items() for category in back["categories"]))) == [
        (("id", 4), ("name", "cat")), (("id", 9), ("name", "dog"))
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "area", "iscrowd"),
    [({}, 12, 0), ({"area": 7.5}, 7.5, 0), ({"iscrowd": 1, "id": 3}, 12, 1)],
    ids=["no area", "area", "crowd with an id"],
)
def test_what_exports_leave_out_is_completed(fields: dict[str, Any], area: float, iscrowd: int) -> None:
    entry = {"image_id": 1, "category_id": 2, "bbox": [5, 6, 3, 4], **fields}
    assert complete_annotation(entry, 9) == entry | {"id": 9, "area": area, "iscrowd": iscrowd}
