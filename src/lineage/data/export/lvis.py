"""The LVIS v1 layout: COCO's image folders and annotations/lvis_v1_<split>.json with federated lists.

LVIS annotates an image for some categories only: those present, those verified absent (neg_category_ids) and, of those
present, some not exhaustively (not_exhaustive_category_ids). Here every second absent category, by a hash, is verified
absent. LVIS has no crowds: a crowd region is left out and makes its category not exhaustive.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from lineage.data.export import coco
from lineage.data.export.items import Record, iterate_items, save_image
from lineage.data.samples.dataset import Dataset
from lineage.ops.random import fold_in

RARE, COMMON = 10, 100  # LVIS v1: rare in at most 10 images, common in at most 100, else frequent
FIELDS = ("id", "image_id", "category_id", "bbox", "area")  # of an annotation


def write(dataset: Dataset, root: Path, split: str, suffix: str = "jpg", polygons: bool = False) -> Path:
    """Write the dataset and return the path of the annotation file; `suffix` is that of the images: jpg or png."""
    images, annotations = [], []
    for item in iterate_items(dataset):
        name = f"{item.record['id']:012d}.{suffix}"
        save_image(item.image, root / f"{split}2017" / name)
        record = coco.image_record(item.record, f"{split}2017", name)
        images.append(add_federated_lists(record, item.annotations, dataset.meta.category_ids))
        for annotation in item.annotations:
            if not annotation["iscrowd"]:
                segmentation = coco.convert_segmentation(annotation, item.size, polygons)
                annotations.append({field: annotation[field] for field in FIELDS} | {"segmentation": segmentation})
    document = {
        "info": {"description": f"written by lineage, {dataset.fingerprint}", "version": "v1"},
        "licenses": [{"id": 1, "name": "none", "url": ""}],
        "images": images,
        "annotations": annotations,
        "categories": category_records(dataset, annotations),
    }
    return coco.write_json(document, root / "annotations" / f"lvis_v1_{split}.json")


def add_federated_lists(record: Record, annotations: list[Record], category_ids: tuple[int, ...]) -> Record:
    """Return the image record with LVIS's lists and without file_name: LVIS names the file by its coco_url alone."""
    present = {annotation["category_id"] for annotation in annotations}
    absent = [category_id for category_id in category_ids if category_id not in present]
    crowded = {annotation["category_id"] for annotation in annotations if annotation["iscrowd"]}
    return {
        **{field: value for field, value in record.items() if field != "file_name"},
        "neg_category_ids": [category_id for category_id in absent if fold_in("lvis", record["id"], category_id) % 2],
        "not_exhaustive_category_ids": sorted(crowded),
    }


def category_records(dataset: Dataset, annotations: list[Record]) -> list[Record]:
    instances = Counter(annotation["category_id"] for annotation in annotations)
    pairs = {(annotation["image_id"], annotation["category_id"]) for annotation in annotations}
    images = Counter(category_id for _, category_id in pairs)
    return [
        {
            "id": category_id, "name": name, "synset": f"{name}.n.01", "synonyms": [name], "def": name,
            "image_count": images[category_id], "instance_count": instances[category_id],
            "frequency": frequency(images[category_id]),
        }
        for category_id, name in zip(dataset.meta.category_ids, dataset.meta.classes, strict=True)
    ]  # fmt: skip


def frequency(images: int) -> str:
    if images <= RARE:
        return "r"
    return "c" if images <= COMMON else "f"
