"""The DeepFashion2 layout: <split>/image/*.jpg and <split>/annos/*.json with boxes, landmarks and polygons per item.

Its 13 classes and their numbers of landmarks are fixed, so each class of another dataset is written as one of them: a
class with landmarks of its own as that of its name, one with keypoints as one with at least as many landmarks. The
layout has no crowds; they are left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lineage.data.export.items import Record, decode_mask, iterate_items, save_image
from lineage.data.export.polygons import mask_to_polygons
from lineage.data.formats.deepfashion2 import CLASSES, LENGTHS, OFFSETS, create_flip_indices
from lineage.data.samples.dataset import Dataset
from lineage.data.samples.metadata import DatasetMeta

FOLDERS = {"train": "train", "val": "validation"}


def write(dataset: Dataset, root: Path, split: str) -> Path:
    """Write the dataset and return the folder of its annotations."""
    folder = root / FOLDERS[split]
    categories = assign_categories(dataset)
    places = {
        category_id: place_keypoints(dataset.meta, label, categories[category_id])
        for label, category_id in enumerate(dataset.meta.category_ids)
    }
    (folder / "annos").mkdir(parents=True, exist_ok=True)
    for item in iterate_items(dataset):
        stem = f"{item.record['id']:06d}"
        save_image(item.image, folder / "image" / f"{stem}.jpg")
        document: Record = {"source": "shop", "pair_id": item.record["id"]}
        objects = [annotation for annotation in item.annotations if not annotation["iscrowd"]]
        for number, annotation in enumerate(objects, 1):
            polygons = mask_to_polygons(decode_mask(annotation, item.size))
            category_id = annotation["category_id"]
            document[f"item{number}"] = item_record(annotation, categories[category_id], places[category_id], polygons)
        (folder / "annos" / f"{stem}.json").write_text(json.dumps(document))
    return folder / "annos"


def assign_categories(dataset: Dataset) -> dict[int, int]:
    """Return category id -> one of the 13 (1..13): that of its name if it has landmarks of its own.

    Otherwise those with most keypoints choose first.
    """
    if len(dataset.meta.classes) > len(CLASSES):
        raise ValueError(f"DeepFashion2 has {len(CLASSES)} classes, the dataset has {len(dataset.meta.classes)}")
    if dataset.meta.keypoint_offsets:
        names = zip(dataset.meta.category_ids, dataset.meta.classes, strict=True)
        return {category_id: CLASSES.index(name) + 1 for category_id, name in names}
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


def place_keypoints(meta: DatasetMeta, label: int, category: int) -> dict[int, int]:
    """Return keypoint of a class -> landmark of one of the 13, both counted from 0.

    Keypoints that classes share keep their numbers. Those of one class take landmarks that a mirror image swaps alike:
    pairs along the outline, the wearer's right first; the top's middle first, the bottom's last.
    """
    slots = meta.keypoint_slots(label)
    if not meta.keypoint_offsets:
        return dict(zip(slots, range(LENGTHS[category - 1]), strict=False))
    first = OFFSETS[category - 1]
    pairs, middles = split_by_mirror(slots, meta.flip_indices)
    their_pairs, their_middles = split_by_mirror(range(first, first + LENGTHS[category - 1]), create_flip_indices())
    if len(pairs) > len(their_pairs) or len(middles) > len(their_middles):
        raise ValueError(f"{CLASSES[category - 1]} has fewer landmarks in DeepFashion2 than in the dataset")
    places = dict(zip(middles[:1], their_middles, strict=False))
    places |= dict(zip(reversed(middles[1:]), reversed(their_middles), strict=False))
    for pair, (right, left) in zip(pairs, their_pairs, strict=False):
        by_side = sorted(pair, key=lambda slot: meta.keypoints[slot].endswith("_left"))
        places |= dict(zip(by_side, (right, left), strict=True))
    return {slot: landmark - first for slot, landmark in places.items()}


def split_by_mirror(slots: Sequence[int], flip_indices: Sequence[int]) -> tuple[list[tuple[int, int]], list[int]]:
    """Return the pairs that a mirror image swaps and the slots that it leaves, in order."""
    pairs = [(slot, flip_indices[slot]) for slot in slots if flip_indices[slot] > slot]
    return pairs, [slot for slot in slots if flip_indices[slot] == slot]


def item_record(annotation: Record, category: int, places: Mapping[int, int], polygons: list[list[float]]) -> Record:
    """Return an item of a file.

    category: one of the 13, counted from 1
    places: keypoint of the annotation -> landmark of the category
    """
    x, y, width, height = annotation["bbox"]
    keypoints = np.reshape(annotation.get("keypoints") or [], (-1, 3)).astype(int)
    landmarks = np.zeros((LENGTHS[category - 1], 3), int)
    for keypoint, landmark in places.items():
        if keypoint < len(keypoints):  # objects of other classes may have none
            landmarks[landmark] = keypoints[keypoint]
    return {
        "segmentation": polygons, "scale": 2, "viewpoint": 2, "zoom_in": 1, "occlusion": 1, "style": 0,
        "landmarks": landmarks.ravel().tolist(),
        "bounding_box": [int(x), int(y), int(x + width), int(y + height)],
        "category_id": category, "category_name": CLASSES[category - 1],
    }  # fmt: skip
