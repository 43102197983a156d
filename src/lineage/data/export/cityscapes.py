"""The Cityscapes layout: leftImg8bit/<split>/<city>/ and gtFine/<split>/<city>/ with id images and polygons.

A pixel of instanceIds is labelId * 1000 + n for the n-th object of its class, and the bare labelId inside a group (our
crowd). Of overlapping masks the later one gets the pixel; masks of the embedded dataset never overlap.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from lineage.data.export.items import Item, Record, decode_mask, iterate_items, save_image
from lineage.data.export.polygons import mask_to_polygons
from lineage.data.formats.cityscapes import FIRST_INSTANCE, THINGS
from lineage.data.samples.dataset import Dataset

FIRST_LABEL = THINGS["person"]  # the lowest label id of a thing; classes of other datasets count from here


def write(dataset: Dataset, root: Path, split: str, city: str = "lineage") -> Path:
    """Write the dataset and return the folder of its annotations."""
    labels = choose_label_ids(dataset)
    names = dict(zip(dataset.meta.category_ids, dataset.meta.classes, strict=True))
    images, fine = root / "leftImg8bit" / split / city, root / "gtFine" / split / city
    for item in iterate_items(dataset):
        stem = f"{city}_{item.record['id']:06d}_000019"
        save_image(item.image, images / f"{stem}_leftImg8bit.png")
        instance_ids = draw_instance_ids(item, labels)
        save_image(Image.fromarray(instance_ids), fine / f"{stem}_gtFine_instanceIds.png")
        label_ids = np.where(instance_ids >= FIRST_INSTANCE, instance_ids // FIRST_INSTANCE, instance_ids)
        save_image(Image.fromarray(label_ids.astype(np.uint8)), fine / f"{stem}_gtFine_labelIds.png")
        (fine / f"{stem}_gtFine_polygons.json").write_text(json.dumps(polygon_document(item, names)))
    return root / "gtFine" / split


def choose_label_ids(dataset: Dataset) -> dict[int, int]:
    """Return category id -> labelId: the real ids if all classes are Cityscapes' own."""
    meta = dataset.meta
    if set(meta.classes) <= set(THINGS):
        return {category_id: THINGS[name] for category_id, name in zip(meta.category_ids, meta.classes, strict=True)}
    return {category_id: FIRST_LABEL + label for label, category_id in enumerate(meta.category_ids)}


def draw_instance_ids(item: Item, labels: dict[int, int]) -> np.ndarray:
    """Return [h, w] uint16 instanceIds, 0 (unlabeled) elsewhere."""
    ids = np.zeros(item.size, np.uint16)
    counts: Counter[int] = Counter()
    for annotation in item.annotations:
        label = labels[annotation["category_id"]]
        mask = decode_mask(annotation, item.size)
        ids[mask] = label if annotation["iscrowd"] else label * FIRST_INSTANCE + counts[label]
        counts[label] += not annotation["iscrowd"]
    return ids


def polygon_document(item: Item, names: dict[int, str]) -> Record:
    """Return the polygons file; an object in several pieces has an entry for each, as in the original files."""
    objects = []
    for annotation in item.annotations:
        label = names[annotation["category_id"]] + ("group" if annotation["iscrowd"] else "")
        for polygon in mask_to_polygons(decode_mask(annotation, item.size)):
            corners = np.array(polygon, int).reshape(-1, 2).tolist()
            objects.append({"label": label, "polygon": corners})
    height, width = item.size
    return {"imgHeight": height, "imgWidth": width, "objects": objects}
