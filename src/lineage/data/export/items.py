"""A dataset image by image, as the writers want it: the COCO record, the pixels, the annotations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from pycocotools import mask as rle

from lineage.data.samples.dataset import Dataset


class Item(NamedTuple):
    record: dict[str, Any]  # the entry of `images`
    image: Image.Image
    annotations: list[dict[str, Any]]


def items(dataset: Dataset) -> Iterator[Item]:
    truth = dataset.ground_truth()
    records = {record["id"]: record for record in truth["images"]}
    of_image = defaultdict(list)
    for annotation in truth["annotations"]:
        of_image[annotation["image_id"]].append(annotation)
    for index in range(len(dataset)):
        sample = dataset[index]
        image = Image.fromarray(sample.image.permute(1, 2, 0).contiguous().numpy())
        yield Item(records[sample.image_id], image, of_image[sample.image_id])


def mask(annotation: dict[str, Any], record: dict[str, Any]) -> np.ndarray:
    """[h, w] bool from polygons or from an RLE, compressed or not."""
    return rle.decode(encoded(annotation["segmentation"], record)).astype(bool)


def encoded(segmentation: Any, record: dict[str, Any]) -> dict[str, Any]:
    """Whatever COCO allows as a segmentation, as one compressed RLE."""
    height, width = record["height"], record["width"]
    if isinstance(segmentation, list):
        return rle.merge(rle.frPyObjects(segmentation, height, width))
    if isinstance(segmentation["counts"], list):
        return rle.frPyObjects(segmentation, height, width)
    return segmentation


def save(image: Image.Image, path: Path) -> None:
    """PNG is lossless; JPEG at the quality of the public datasets."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jpg":
        image.save(path, quality=95)
    else:
        image.save(path)
