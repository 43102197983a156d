"""How many objects of which class and size a dataset has, read from its columns without opening an image."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lineage.data.samples.dataset import Dataset

SMALL, MEDIUM = 32**2, 96**2  # COCO's borders of object areas


class ClassStats(NamedTuple):
    name: str
    images: int
    objects: int
    crowds: int
    small: int
    medium: int
    large: int
    median: float  # side of a square of the median area, pixels


class Stats(NamedTuple):
    images: int
    empty: int  # images without an object
    classes: tuple[ClassStats, ...]
    per_image: NDArray[np.int64]  # [images] objects
    sides: NDArray[np.float64]  # [objects] square root of the area
    sizes: NDArray[np.int64]  # [images, 2]


def stats(dataset: Dataset) -> Stats:
    """Crowds are counted apart; areas are those of the annotations."""
    truth = dataset.ground_truth()
    place = {one["id"]: i for i, one in enumerate(truth["images"])}
    label = {category: i for i, category in enumerate(dataset.meta.category_ids)}
    rows = [
        (place[one["image_id"]], label[one["category_id"]], one.get("area") or one["bbox"][2] * one["bbox"][3],
         bool(one.get("iscrowd"))) for one in truth["annotations"]
    ]  # fmt: skip
    table = np.array(rows, np.float64).reshape(-1, 4)
    crowd = table[:, 3] > 0
    counted = table[~crowd]
    per_image = np.bincount(counted[:, 0].astype(int), minlength=len(place))
    found = (_of_class(name, table[table[:, 1] == i]) for i, name in enumerate(dataset.meta.classes))
    return Stats(
        len(place), int((per_image == 0).sum()), tuple(found), per_image, np.sqrt(counted[:, 2]), dataset.sizes.numpy()
    )


def _of_class(name: str, rows: NDArray[np.float64]) -> ClassStats:
    crowd = rows[:, 3] > 0
    own = rows[~crowd]
    areas = own[:, 2]
    small, large = int((areas < SMALL).sum()), int((areas >= MEDIUM).sum())
    median = float(np.sqrt(np.median(areas))) if len(own) else 0.0
    images = len(np.unique(own[:, 0]))
    return ClassStats(name, images, len(own), int(crowd.sum()), small, len(own) - small - large, large, median)
