"""Images of a dataset one by one, as the writers read them: COCO record, pixels, annotations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from pycocotools import mask as rle

from lineage.data.samples.dataset import Dataset

Record = dict[str, Any]


class Item(NamedTuple):
    """One image with its annotations."""

    record: Record  # the entry of `images`
    image: Image.Image
    annotations: list[Record]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)"""
        return self.record["height"], self.record["width"]


def iterate_items(dataset: Dataset) -> Iterator[Item]:
    truth = dataset.ground_truth()
    records = {record["id"]: record for record in truth["images"]}
    by_image = defaultdict(list)
    for annotation in truth["annotations"]:
        by_image[annotation["image_id"]].append(annotation)
    for index in range(len(dataset)):
        sample = dataset[index]
        image = Image.fromarray(sample.image.permute(1, 2, 0).contiguous().numpy())
        yield Item(records[sample.image_id], image, by_image[sample.image_id])


def decode_mask(annotation: Record, size: tuple[int, int]) -> np.ndarray:
    """Return [h, w] bool from polygons or from an RLE, compressed or not."""
    return rle.decode(compress(annotation["segmentation"], size)).astype(bool)


def compress(segmentation: Any, size: tuple[int, int]) -> Record:
    """Convert a segmentation in any notation of COCO to one compressed RLE."""
    if isinstance(segmentation, list):
        return rle.merge(rle.frPyObjects(segmentation, *size))
    if isinstance(segmentation["counts"], list):
        return rle.frPyObjects(segmentation, *size)
    return segmentation


def save_image(image: Image.Image, path: Path) -> None:
    """Write PNG, which is lossless, or JPEG at the quality of the public datasets."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jpg":
        image.save(path, quality=95)
    else:
        image.save(path)
