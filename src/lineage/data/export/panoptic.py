"""The COCO panoptic layout: annotations/panoptic_<split>2017.json, a folder of PNGs of that name, and the images.

A colour r + 256 g + 256^2 b is the id of a segment. Things are the dataset's objects, of overlapping ones the later
wins; the rest of the image is the stuff that `Sample.semantic` says, or one class `background`. A thing of which others
leave no pixel is no segment.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lineage.data.export import coco
from lineage.data.export import items as source
from lineage.data.export.items import Item
from lineage.data.samples.dataset import Dataset

UNLABELLED = 255
SCATTER = 7919  # spreads the ids over the colours, so that a look at the PNG shows the segments


def write(dataset: Dataset, root: Path, split: str, form: str = "jpg") -> Path:
    images, annotations = [], []
    stuff = stuff_ids(dataset)
    for index, item in enumerate(source.items(dataset)):
        name = f"{item.record['id']:012d}"
        source.save(item.image, root / f"{split}2017" / f"{name}.{form}")
        images.append(coco.stored(item.record, f"{split}2017", f"{name}.{form}"))
        numbers, segments = segmented(item, labelled(dataset, index), stuff)
        colours = np.stack([numbers >> shift & 255 for shift in (0, 8, 16)], -1).astype(np.uint8)
        source.save(Image.fromarray(colours), root / "annotations" / f"panoptic_{split}2017" / f"{name}.png")
        annotations.append({"image_id": item.record["id"], "file_name": f"{name}.png", "segments_info": segments})
    document = {
        "info": {"description": f"written by lineage, {dataset.fingerprint}", "version": "1.0", "year": 2017},
        "licenses": [{"id": 1, "name": "none", "url": ""}],
        "images": images,
        "annotations": annotations,
        "categories": categories(dataset, stuff),
    }
    return coco.dump(document, root / "annotations" / f"panoptic_{split}2017.json")


def stuff_names(dataset: Dataset) -> tuple[str, ...]:
    """The stuff classes, without the first of `stuff`, which is all things."""
    return dataset.meta.stuff[1:] or ("background",)


def stuff_ids(dataset: Dataset) -> dict[int, int]:
    """Semantic label -> category id, behind those of the things."""
    last = max(dataset.meta.category_ids)
    return {label: last + label for label in range(1, len(stuff_names(dataset)) + 1)}


def labelled(dataset: Dataset, index: int) -> np.ndarray | None:
    semantic = dataset[index].semantic
    return None if semantic is None else semantic.numpy()


def segmented(
    item: Item, semantic: np.ndarray | None, stuff: dict[int, int]
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """[h, w] int64 the segment of each pixel, and what the segments are."""
    numbers = np.zeros((item.record["height"], item.record["width"]), np.int64)
    kinds: dict[int, tuple[int, int]] = {}
    labels = np.ones_like(numbers) if semantic is None else semantic
    for label, category in stuff.items():
        kinds[len(kinds) + 1] = (category, 0)
        numbers[labels == label] = len(kinds)
    for one in item.annotations:
        kinds[len(kinds) + 1] = (one["category_id"], one["iscrowd"])
        numbers[source.mask(one, item.record)] = len(kinds)
    found = [segment(numbers == number, number * SCATTER, *kind) for number, kind in kinds.items()]
    return numbers * SCATTER, [one for one in found if one["area"]]


def segment(inside: np.ndarray, number: int, category: int, crowd: int) -> dict[str, Any]:
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    box = [0, 0, 0, 0]
    if len(rows):
        box = [columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1]
    area = int(inside.sum())
    return {"id": number, "category_id": category, "iscrowd": crowd, "bbox": [int(side) for side in box], "area": area}


def categories(dataset: Dataset, stuff: dict[int, int]) -> list[dict[str, Any]]:
    things = zip(dataset.meta.category_ids, dataset.meta.classes, strict=True)
    rest = zip(stuff.values(), stuff_names(dataset), strict=True)
    return [
        {"id": number, "name": name, "supercategory": name, "isthing": thing, "color": [number * 37 % 256, 90, 120]}
        for thing, pairs in ((1, things), (0, rest))
        for number, name in pairs
    ]
