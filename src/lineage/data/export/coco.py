"""The COCO layout: <split>2017/*.jpg and annotations/instances_<split>2017.json, keypoints included.

Masks are written as compressed RLE, which every COCO reader takes and which is bit-exact. With `polygons` they look as
in the original files instead: polygons, and uncompressed RLE for crowds.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from lineage.data.export import items as source
from lineage.data.export.polygons import polygons as outlined
from lineage.data.samples.dataset import Dataset


def write(dataset: Dataset, root: Path, split: str, form: str = "jpg", polygons: bool = False) -> Path:
    images, annotations = [], []
    for record, image, found in source.items(dataset):
        name = f"{record['id']:012d}.{form}"
        source.save(image, root / f"{split}2017" / name)
        images.append(stored(record, f"{split}2017", name))
        for one in found:
            shape = segmentation(one, record, polygons)
            annotations.append({**one, "segmentation": shape})
    document = {
        "info": {"description": f"written by lineage, {dataset.fingerprint}", "version": "1.0", "year": 2017},
        "licenses": [{"id": 1, "name": "none", "url": ""}],
        "images": images,
        "annotations": annotations,
        "categories": dataset.ground_truth()["categories"],
    }
    return dump(document, root / "annotations" / f"instances_{split}2017.json")


def stored(record: dict[str, Any], folder: str, name: str) -> dict[str, Any]:
    url = f"http://images.cocodataset.org/{folder}/{name}"  # loaders find the folder by the last two parts
    return {
        "id": record["id"], "file_name": name, "height": record["height"], "width": record["width"], "license": 1,
        "coco_url": url, "flickr_url": "", "date_captured": "2017-01-01 00:00:00",
    }  # fmt: skip


def segmentation(annotation: dict[str, Any], record: dict[str, Any], polygons: bool) -> Any:
    if not polygons:
        code = source.encoded(annotation["segmentation"], record)
        counts = code["counts"]
        return {"size": list(code["size"]), "counts": counts.decode() if isinstance(counts, bytes) else counts}
    mask = source.mask(annotation, record)
    return runs(mask) if annotation["iscrowd"] else outlined(mask)


def runs(mask: np.ndarray) -> dict[str, Any]:
    """Uncompressed RLE: lengths of alternating runs down the columns, zeros first."""
    column = np.concatenate([[0], mask.T.ravel().astype(np.int8)])
    ends = np.flatnonzero(np.diff(column))
    counts = np.diff(np.concatenate([[0], ends, [mask.size]]))
    return {"size": list(mask.shape), "counts": counts.tolist()}


def dump(document: dict[str, Any], path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path
