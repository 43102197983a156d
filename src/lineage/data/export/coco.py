"""The COCO layout: <split>2017/*.jpg and annotations/instances_<split>2017.json, keypoints included.

Masks are written as compressed RLE, which every COCO reader takes and which is bit-exact. With `polygons` they look as
in the original files instead: polygons, and uncompressed RLE for crowds.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from lineage.data.export.items import Record, compress, decode_mask, iterate_items, save_image
from lineage.data.export.polygons import mask_to_polygons
from lineage.data.samples.dataset import Dataset


def write(dataset: Dataset, root: Path, split: str, suffix: str = "jpg", polygons: bool = False) -> Path:
    """Write the dataset and return the path of the annotation file; `suffix` is that of the images: jpg or png."""
    images, annotations = [], []
    for item in iterate_items(dataset):
        name = f"{item.record['id']:012d}.{suffix}"
        save_image(item.image, root / f"{split}2017" / name)
        images.append(image_record(item.record, f"{split}2017", name))
        for annotation in item.annotations:
            segmentation = convert_segmentation(annotation, item.size, polygons)
            annotations.append({**annotation, "segmentation": segmentation})
    document = {
        "info": {"description": f"written by lineage, {dataset.fingerprint}", "version": "1.0", "year": 2017},
        "licenses": [{"id": 1, "name": "none", "url": ""}],
        "images": images,
        "annotations": annotations,
        "categories": dataset.ground_truth()["categories"],
    }
    return write_json(document, root / "annotations" / f"instances_{split}2017.json")


def image_record(record: Record, folder: str, name: str) -> Record:
    url = f"http://images.cocodataset.org/{folder}/{name}"  # loaders find the folder by the last two parts
    return {
        "id": record["id"], "file_name": name, "height": record["height"], "width": record["width"], "license": 1,
        "coco_url": url, "flickr_url": "", "date_captured": "2017-01-01 00:00:00",
    }  # fmt: skip


def convert_segmentation(annotation: Record, size: tuple[int, int], polygons: bool) -> Any:
    """Return a compressed RLE or, with `polygons`, the notation of the original files."""
    if not polygons:
        code = compress(annotation["segmentation"], size)
        counts = code["counts"]
        return {"size": list(code["size"]), "counts": counts.decode() if isinstance(counts, bytes) else counts}
    mask = decode_mask(annotation, size)
    return encode_uncompressed(mask) if annotation["iscrowd"] else mask_to_polygons(mask)


def encode_uncompressed(mask: np.ndarray) -> Record:
    """Return an uncompressed RLE: lengths of alternating runs down the columns, zeros first."""
    column = np.concatenate([[0], mask.T.ravel().astype(np.int8)])
    ends = np.flatnonzero(np.diff(column))
    counts = np.diff(np.concatenate([[0], ends, [mask.size]]))
    return {"size": list(mask.shape), "counts": counts.tolist()}


def write_json(document: Record, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path
