"""Statistics of a dataset: how many objects of which class and size it has, without opening an image."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lineage.data.samples.dataset import Dataset

SMALL, MEDIUM = 32**2, 96**2  # COCO's borders of object areas


class ClassStats(NamedTuple):
    """One row of the table; small, medium and large count objects that are no crowds."""

    name: str
    images: int
    objects: int
    crowds: int
    small: int
    medium: int
    large: int
    median: float  # side of a square of the median area, pixels


class Stats(NamedTuple):
    """Statistics of all images; crowds are counted apart."""

    images: int
    empty: int  # images without an object
    classes: tuple[ClassStats, ...]
    per_image: NDArray[np.int64]  # [images] objects
    sides: NDArray[np.float64]  # [objects] square root of the area
    sizes: NDArray[np.int64]  # [images, 2]


def count_objects(dataset: Dataset) -> Stats:
    """Count the objects of the ground truth; areas are those of the annotations."""
    # 1. One row for each annotation: image, label, area, crowd.
    truth = dataset.ground_truth()
    image_index = {image["id"]: i for i, image in enumerate(truth["images"])}
    labels = {category_id: label for label, category_id in enumerate(dataset.meta.category_ids)}
    rows = [
        (
            image_index[annotation["image_id"]],
            labels[annotation["category_id"]],
            annotation.get("area") or annotation["bbox"][2] * annotation["bbox"][3],
            bool(annotation.get("iscrowd")),
        )
        for annotation in truth["annotations"]
    ]
    table = np.array(rows, np.float64).reshape(-1, 4)
    # 2. By image and by class.
    objects = table[table[:, 3] == 0]
    per_image = np.bincount(objects[:, 0].astype(int), minlength=len(image_index))
    classes = (_count_class(name, table[table[:, 1] == label]) for label, name in enumerate(dataset.meta.classes))
    return Stats(
        images=len(image_index),
        empty=int((per_image == 0).sum()),
        classes=tuple(classes),
        per_image=per_image,
        sides=np.sqrt(objects[:, 2]),
        sizes=dataset.sizes.numpy(),
    )


def _count_class(name: str, rows: NDArray[np.float64]) -> ClassStats:
    is_crowd = rows[:, 3] > 0
    objects = rows[~is_crowd]
    areas = objects[:, 2]
    small, large = int((areas < SMALL).sum()), int((areas >= MEDIUM).sum())
    median = float(np.sqrt(np.median(areas))) if len(objects) else 0.0
    images = len(np.unique(objects[:, 0]))
    medium = len(objects) - small - large
    return ClassStats(name, images, len(objects), int(is_crowd.sum()), small, medium, large, median)
