"""The LVIS v1 layout: COCO's image folders and annotations/lvis_v1_<split>.json with federated lists.

LVIS annotates an image for some categories only: those present, those verified absent (neg_category_ids) and, of those
present, some not exhaustively (not_exhaustive_category_ids). Here every second absent category, by a hash, is verified
absent; and as LVIS knows no crowds, a crowd region is left out and makes its category not exhaustive.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from lineage.data.export import coco
from lineage.data.export import items as source
from lineage.data.samples.dataset import Dataset
from lineage.ops.random import fold_in

RARE, COMMON = 10, 100  # LVIS v1: rare in at most 10 images, common in at most 100, else frequent


def write(dataset: Dataset, root: Path, split: str, form: str = "jpg", polygons: bool = False) -> Path:
    images, annotations = [], []
    for record, image, found in source.items(dataset):
        name = f"{record['id']:012d}.{form}"
        source.save(image, root / f"{split}2017" / name)
        images.append(federated(coco.stored(record, f"{split}2017", name), found, dataset.meta.category_ids))
        annotations += [
            {**plain(one), "segmentation": coco.segmentation(one, record, polygons)}
            for one in found
            if not one["iscrowd"]
        ]
    document = {
        "info": {"description": f"written by lineage, {dataset.fingerprint}", "version": "v1"},
        "licenses": [{"id": 1, "name": "none", "url": ""}],
        "images": images,
        "annotations": annotations,
        "categories": categories(dataset, annotations),
    }
    return coco.dump(document, root / "annotations" / f"lvis_v1_{split}.json")


def plain(annotation: dict[str, Any]) -> dict[str, Any]:
    return {name: annotation[name] for name in ("id", "image_id", "category_id", "bbox", "area")}


def federated(record: dict[str, Any], found: list[dict[str, Any]], category_ids: tuple[int, ...]) -> dict[str, Any]:
    present = {one["category_id"] for one in found}
    absent = [one for one in category_ids if one not in present]
    del record["file_name"]  # LVIS names the file by its coco_url alone
    return {
        **record,
        "neg_category_ids": [one for one in absent if fold_in("lvis", record["id"], one) % 2],
        "not_exhaustive_category_ids": sorted({one["category_id"] for one in found if one["iscrowd"]}),
    }


def categories(dataset: Dataset, annotations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    instances = Counter(one["category_id"] for one in annotations)
    images = Counter(category for _, category in {(one["image_id"], one["category_id"]) for one in annotations})
    return [
        {
            "id": category, "name": name, "synset": f"{name}.n.01", "synonyms": [name], "def": name,
            "image_count": images[category], "instance_count": instances[category],
            "frequency": frequency(images[category]),
        }
        for category, name in zip(dataset.meta.category_ids, dataset.meta.classes, strict=True)
    ]  # fmt: skip


def frequency(images: int) -> str:
    if images <= RARE:
        return "r"
    return "c" if images <= COMMON else "f"
