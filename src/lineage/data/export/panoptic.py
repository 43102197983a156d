"""The COCO panoptic layout: annotations/panoptic_<split>2017.json, a folder of PNGs of that name, and the images.

A colour r + 256 g + 256^2 b is the id of a segment. Things are the dataset's objects, of overlapping ones the later
gets the pixel; the rest of the image is the stuff of `Sample.semantic`, or one class `background` without it. A thing
that others cover completely is not written.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from lineage.data.export import coco
from lineage.data.export.items import Item, Record, decode_mask, iterate_items, save_image
from lineage.data.samples.dataset import Dataset

SCATTER = 7919  # spreads the ids over the colours, so that the segments can be seen in the PNG


def write(dataset: Dataset, root: Path, split: str, suffix: str = "jpg") -> Path:
    """Write the dataset and return the path of the JSON file; `suffix` is that of the images: jpg or png."""
    images, annotations = [], []
    stuff = stuff_categories(dataset)
    maps = root / "annotations" / f"panoptic_{split}2017"
    for index, item in enumerate(iterate_items(dataset)):
        name = f"{item.record['id']:012d}"
        save_image(item.image, root / f"{split}2017" / f"{name}.{suffix}")
        images.append(coco.image_record(item.record, f"{split}2017", f"{name}.{suffix}"))
        ids, segments = draw_segments(item, read_semantic(dataset, index), stuff)
        colours = np.stack([ids >> shift & 255 for shift in (0, 8, 16)], -1).astype(np.uint8)
        save_image(Image.fromarray(colours), maps / f"{name}.png")
        annotations.append({"image_id": item.record["id"], "file_name": f"{name}.png", "segments_info": segments})
    document = {
        "info": {"description": f"written by lineage, {dataset.fingerprint}", "version": "1.0", "year": 2017},
        "licenses": [{"id": 1, "name": "none", "url": ""}],
        "images": images,
        "annotations": annotations,
        "categories": category_records(dataset, stuff),
    }
    return coco.write_json(document, maps.with_suffix(".json"))


def stuff_names(dataset: Dataset) -> tuple[str, ...]:
    """Return the names of semantic classes 1, 2, ...; class 0 is all things."""
    return dataset.meta.stuff[1:] or ("background",)


def stuff_categories(dataset: Dataset) -> dict[int, int]:
    """Return semantic class -> category id; these follow the ids of the things."""
    last = max(dataset.meta.category_ids)
    return {label: last + label for label in range(1, len(stuff_names(dataset)) + 1)}


def read_semantic(dataset: Dataset, index: int) -> np.ndarray | None:
    semantic = dataset[index].semantic
    return None if semantic is None else semantic.numpy()


def draw_segments(item: Item, semantic: np.ndarray | None, stuff: dict[int, int]) -> tuple[np.ndarray, list[Record]]:
    """Return [h, w] int64 the segment id of each pixel, and segments_info."""
    # 1. Number the segments: stuff first, things over it.
    numbers = np.zeros(item.size, np.int64)
    categories: dict[int, tuple[int, int]] = {}  # number -> category id, iscrowd
    labels = np.ones_like(numbers) if semantic is None else semantic
    for label, category_id in stuff.items():
        categories[len(categories) + 1] = (category_id, 0)
        numbers[labels == label] = len(categories)
    for annotation in item.annotations:
        categories[len(categories) + 1] = (annotation["category_id"], annotation["iscrowd"])
        numbers[decode_mask(annotation, item.size)] = len(categories)
    # 2. Describe those with a visible pixel.
    segments = [
        segment_record(numbers == number, number * SCATTER, *category) for number, category in categories.items()
    ]
    return numbers * SCATTER, [segment for segment in segments if segment["area"]]


def segment_record(mask: np.ndarray, segment_id: int, category_id: int, iscrowd: int) -> Record:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = [0, 0, 0, 0]
    if len(rows):
        box = [columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1]
    bbox, area = [int(side) for side in box], int(mask.sum())
    return {"id": segment_id, "category_id": category_id, "iscrowd": iscrowd, "bbox": bbox, "area": area}


def category_records(dataset: Dataset, stuff: dict[int, int]) -> list[Record]:
    things = zip(dataset.meta.category_ids, dataset.meta.classes, strict=True)
    areas = zip(stuff.values(), stuff_names(dataset), strict=True)
    return [
        {
            "id": category_id, "name": name, "supercategory": name, "isthing": isthing,
            "color": [category_id * 37 % 256, 90, 120],
        }
        for isthing, pairs in ((1, things), (0, areas))
        for category_id, name in pairs
    ]  # fmt: skip
