"""The annotations of a dataset as a few flat arrays.

COCO's training annotations are 2.4 GB of Python objects once parsed, and reading any of them touches its reference
count, so that every worker process ends up with a copy. Arrays are a tenth of that and stay shared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle

Record = Mapping[str, Any]


class Columns(NamedTuple):
    """n objects, those of image i at first[i]:first[i + 1]."""

    first: NDArray[np.int64]  # [images + 1]
    boxes: NDArray[np.float32]  # [n, 4] XYXY
    labels: NDArray[np.int64]  # [n]
    crowd: NDArray[np.bool_]  # [n]
    masks: Strings | None  # compressed run lengths, empty for a crowd
    keypoints: NDArray[np.float32] | None  # [n, K, 3] (x, y, visibility) at pixel centres

    def digest(self) -> bytes:
        found = hashlib.sha256()
        for column in (*self[:4], *(self.masks or ()), self.keypoints):
            if column is not None:
                found.update(np.ascontiguousarray(column).data)
        return found.digest()


class Strings(NamedTuple):
    """n byte strings in one array."""

    text: NDArray[np.uint8]
    first: NDArray[np.int64]  # [n + 1]

    def __call__(self, i: int) -> bytes:
        return self.text[self.first[i] : self.first[i + 1]].tobytes()


def columns(images: Sequence[Record], annotations: Sequence[Record], labels: Mapping[int, int], joints: int) -> Columns:
    """`labels` maps category ids to 0..C-1; the annotations belong to these images and have been checked."""
    place = {image["id"]: i for i, image in enumerate(images)}
    sizes = [(image["height"], image["width"]) for image in images]
    ordered = sorted(annotations, key=lambda one: place[one["image_id"]])
    owners = np.array([place[one["image_id"]] for one in ordered], np.int64)
    boxes = np.array([one["bbox"] for one in ordered], np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    has_masks = any(one.get("segmentation") for one in ordered)
    return Columns(
        first=np.searchsorted(owners, np.arange(len(images) + 1)),
        boxes=boxes.astype(np.float32),
        labels=np.array([labels[one["category_id"]] for one in ordered], np.int64),
        crowd=np.array([bool(one.get("iscrowd")) for one in ordered], np.bool_),
        masks=strings([_compressed(one, sizes[place[one["image_id"]]]) for one in ordered]) if has_masks else None,
        keypoints=_keypoints(ordered, joints) if joints else None,
    )


def _compressed(annotation: Record, size: tuple[int, int]) -> bytes:
    """Any of COCO's three notations as a compressed string; drawing polygons costs their outline, not their area."""
    shape = annotation["segmentation"] if not annotation.get("iscrowd") else None
    if not shape:
        return b""
    if isinstance(shape, list):
        return rle.merge(rle.frPyObjects(shape, *size))["counts"]
    counts = shape["counts"]
    if isinstance(counts, list):
        return rle.frPyObjects(shape, *size)["counts"]
    return counts.encode() if isinstance(counts, str) else counts


def strings(rows: Sequence[bytes]) -> Strings:
    """Pack them."""
    first = np.concatenate([[0], np.cumsum([len(one) for one in rows], dtype=np.int64)])
    return Strings(np.frombuffer(b"".join(rows), np.uint8), first)


def _keypoints(annotations: Sequence[Record], joints: int) -> NDArray[np.float32]:
    nothing = [0] * (3 * joints)
    rows = np.array([one.get("keypoints") or nothing for one in annotations], np.float32).reshape(-1, joints, 3)
    rows[..., :2] += 0.5
    return rows
