"""The DeepFashion2 layout: <split>/image/*.jpg and <split>/annos/*.json with boxes, landmarks and polygons per item.

Its 13 classes and their numbers of landmarks are fixed, so each class of another dataset is written as one of them: a
class with keypoints as one with at least as many landmarks. The layout has no crowds; they are left out.
"""

from __future__ import annotations

import json
from pathlib import Path

from lineage.data.export.items import Record, decode_mask, iterate_items, save_image
from lineage.data.export.polygons import mask_to_polygons
from lineage.data.formats.deepfashion2 import CLASSES, LENGTHS
from lineage.data.samples.dataset import Dataset

FOLDERS = {"train": "train", "val": "validation"}


def write(dataset: Dataset, root: Path, split: str) -> Path:
    """Write the dataset and return the folder of its annotations."""
    folder, categories = root / FOLDERS[split], assign_categories(dataset)
    (folder / "annos").mkdir(parents=True, exist_ok=True)
    for item in iterate_items(dataset):
        stem = f"{item.record['id']:06d}"
        save_image(item.image, folder / "image" / f"{stem}.jpg")
        document: Record = {"source": "shop", "pair_id": item.record["id"]}
        objects = [annotation for annotation in item.annotations if not annotation["iscrowd"]]
        for number, annotation in enumerate(objects, 1):
            polygons = mask_to_polygons(decode_mask(annotation, item.size))
            document[f"item{number}"] = item_record(annotation, categories[annotation["category_id"]], polygons)
        (folder / "annos" / f"{stem}.json").write_text(json.dumps(document))
    return folder / "annos"


def assign_categories(dataset: Dataset) -> dict[int, int]:
    """Return category id -> one of the 13 (1..13); those with most keypoints choose first."""
    if len(dataset.meta.classes) > len(CLASSES):
        raise ValueError(f"DeepFashion2 has {len(CLASSES)} classes, the dataset has {len(dataset.meta.classes)}")
    categories = dataset.ground_truth()["categories"]
    keypoints = {category["id"]: len(category.get("keypoints", ())) for category in categories}
    free, assigned = list(range(1, len(CLASSES) + 1)), {}
    for category_id in sorted(
        dataset.meta.category_ids, key=lambda category_id: (-keypoints[category_id], category_id)
    ):
        fitting = next(category for category in free if LENGTHS[category - 1] >= keypoints[category_id])
        assigned[category_id] = fitting
        free.remove(fitting)
    return assigned


def item_record(annotation: Record, category: int, polygons: list[list[float]]) -> Record:
    """Return an item of a file; `category` is one of the 13, counted from 1."""
    x, y, width, height = annotation["bbox"]
    keypoints = [int(value) for value in annotation.get("keypoints") or []]
    length = 3 * LENGTHS[category - 1]
    return {
        "segmentation": polygons, "scale": 2, "viewpoint": 2, "zoom_in": 1, "occlusion": 1, "style": 0,
        "landmarks": (keypoints + [0] * length)[:length],
        "bounding_box": [int(x), int(y), int(x + width), int(y + height)],
        "category_id": category, "category_name": CLASSES[category - 1],
    }  # fmt: skip
