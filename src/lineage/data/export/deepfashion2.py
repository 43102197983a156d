"""The DeepFashion2 layout: <split>/image/*.jpg and <split>/annos/*.json with boxes, landmarks and polygons per item.

Its 13 classes and their numbers of landmarks are fixed, so classes of another dataset take their places: one with
keypoints that of a class with enough landmarks. The layout knows no crowds; they are left out.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lineage.data.export import items as source
from lineage.data.export.polygons import polygons
from lineage.data.formats.deepfashion2 import CLASSES, LENGTHS
from lineage.data.samples.dataset import Dataset

FOLDERS = {"train": "train", "val": "validation"}


def write(dataset: Dataset, root: Path, split: str) -> Path:
    folder, places = root / FOLDERS[split], assigned(dataset)
    (folder / "annos").mkdir(parents=True, exist_ok=True)
    for item in source.items(dataset):
        stem = f"{item.record['id']:06d}"
        source.save(item.image, folder / "image" / f"{stem}.jpg")
        counted = [one for one in item.annotations if not one["iscrowd"]]
        document: dict[str, Any] = {"source": "shop", "pair_id": item.record["id"]}
        for number, one in enumerate(counted, 1):
            shape = polygons(source.mask(one, item.record))
            document[f"item{number}"] = described(one, places[one["category_id"]], shape)
        (folder / "annos" / f"{stem}.json").write_text(json.dumps(document))
    return folder / "annos"


def assigned(dataset: Dataset) -> dict[int, int]:
    """Category id -> one of the 13 (1..13); those with keypoints first choose a class with as many landmarks."""
    if len(dataset.meta.classes) > len(CLASSES):
        raise ValueError(f"DeepFashion2 has {len(CLASSES)} classes, the dataset has {len(dataset.meta.classes)}")
    known = {one["id"]: len(one.get("keypoints", ())) for one in dataset.ground_truth()["categories"]}
    free, found = list(range(1, len(CLASSES) + 1)), {}
    for category in sorted(dataset.meta.category_ids, key=lambda one: (-known[one], one)):
        found[category] = next(place for place in free if LENGTHS[place - 1] >= known[category])
        free.remove(found[category])
    return found


def described(one: dict[str, Any], place: int, shape: list[list[float]]) -> dict[str, Any]:
    x, y, width, height = one["bbox"]
    joints = [int(value) for value in one.get("keypoints") or []]
    landmarks = (joints + [0] * (3 * LENGTHS[place - 1]))[: 3 * LENGTHS[place - 1]]
    return {
        "segmentation": shape, "scale": 2, "viewpoint": 2, "zoom_in": 1, "occlusion": 1, "style": 0,
        "landmarks": landmarks, "bounding_box": [int(x), int(y), int(x + width), int(y + height)],
        "category_id": place, "category_name": CLASSES[place - 1],
    }  # fmt: skip
