"""The Cityscapes layout: leftImg8bit/<split>/<city>/ and gtFine/<split>/<city>/ with id images and polygons.

A pixel of instanceIds is labelId * 1000 + n for the n-th object of its class, and the bare labelId inside a group (our
crowd). A pixel has one owner, so of overlapping masks the later one wins; masks of the embedded dataset never overlap.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lineage.data.export import items as source
from lineage.data.export.items import Item
from lineage.data.export.polygons import polygons
from lineage.data.formats.cityscapes import THINGS
from lineage.data.samples.dataset import Dataset

FIRST = THINGS["person"]  # the lowest label id of a thing; classes of other datasets count on from here


def write(dataset: Dataset, root: Path, split: str, city: str = "lineage") -> Path:
    ids = label_ids(dataset)
    for item in source.items(dataset):
        stem = f"{city}_{item.record['id']:06d}_000019"
        source.save(item.image, root / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png")
        fine = root / "gtFine" / split / city
        instances = numbered(item, ids)
        source.save(Image.fromarray(instances), fine / f"{stem}_gtFine_instanceIds.png")
        labels = np.where(instances >= 1000, instances // 1000, instances).astype(np.uint8)
        source.save(Image.fromarray(labels), fine / f"{stem}_gtFine_labelIds.png")
        document = outlines(item, names(dataset))
        (fine / f"{stem}_gtFine_polygons.json").write_text(json.dumps(document))
    return root / "gtFine" / split


def label_ids(dataset: Dataset) -> dict[int, int]:
    """Category id -> labelId: the real ids if all classes are Cityscapes' own."""
    if set(dataset.meta.classes) <= set(THINGS):
        return {i: THINGS[name] for i, name in zip(dataset.meta.category_ids, dataset.meta.classes, strict=True)}
    return {category: FIRST + label for label, category in enumerate(dataset.meta.category_ids)}


def names(dataset: Dataset) -> dict[int, str]:
    return dict(zip(dataset.meta.category_ids, dataset.meta.classes, strict=True))


def numbered(item: Item, ids: dict[int, int]) -> np.ndarray:
    """[h, w] uint16 instanceIds, 0 (unlabeled) elsewhere."""
    found = np.zeros((item.record["height"], item.record["width"]), np.uint16)
    count: Counter[int] = Counter()
    for one in item.annotations:
        label = ids[one["category_id"]]
        inside = source.mask(one, item.record)
        found[inside] = label if one["iscrowd"] else label * 1000 + count[label]
        count[label] += not one["iscrowd"]
    return found


def outlines(item: Item, names: dict[int, str]) -> dict[str, Any]:
    """A part of an object that others cut in two is an entry of its own, as in the original files."""
    objects = []
    for one in item.annotations:
        label = names[one["category_id"]] + ("group" if one["iscrowd"] else "")
        for polygon in polygons(source.mask(one, item.record)):
            corners = np.array(polygon, int).reshape(-1, 2).tolist()
            objects.append({"label": label, "polygon": corners})
    return {"imgHeight": item.record["height"], "imgWidth": item.record["width"], "objects": objects}
