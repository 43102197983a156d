"""Columns as COCO's records again, for evaluators and exporters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lineage.data.annotations.columns import Columns
from lineage.data.annotations.defects import Record
from lineage.data.annotations.packed_masks import unpacked
from lineage.data.samples.metadata import DatasetMeta


def spelled(data: Columns, meta: DatasetMeta, beside: Mapping[str, Callable[[str], Path]]) -> dict[str, Any]:
    """One COCO dict; `beside` names files that go with an image, by its own file's name."""
    boxes = data.boxes.astype(np.float64)
    boxes[:, 2:] -= boxes[:, :2]
    owners = np.repeat(np.arange(len(data.ids)), np.diff(data.first)).tolist()
    numbers, crowd, areas = data.numbers.tolist(), data.crowd.tolist(), data.areas.tolist()
    annotations = [
        {
            "id": numbers[i], "image_id": int(data.ids[owner]), "bbox": boxes[i].tolist(), "area": areas[i],
            "category_id": meta.category_ids[data.labels[i]], "iscrowd": int(crowd[i]),
            **geometry(data, i, owner, len(meta.keypoints)),
            **{name: int(column[i]) for name, column in data.extra.items()},
        }
        for i, owner in enumerate(owners)
    ]  # fmt: skip
    return {"images": _images(data, beside), "annotations": annotations, "categories": _categories(meta)}


def geometry(data: Columns, row: int, owner: int, joints: int) -> Record:
    """The mask and the keypoints of one object, where there are any."""
    found: Record = {}
    if data.masks is not None and (text := data.masks(row)):
        size = data.sizes[owner].tolist()
        found["segmentation"] = {"size": size, "counts": unpacked(text, size).decode()}
    if data.keypoints is not None:
        points = data.keypoints.dense(range(row, row + 1), joints)[0] - np.array([0.5, 0.5, 0], np.float32)
        found |= {"keypoints": points.ravel().tolist(), "num_keypoints": int((points[:, 2] > 0).sum())}
    return found


def _images(data: Columns, beside: Mapping[str, Callable[[str], Path]]) -> list[Record]:
    names = [data.names(i).decode(errors="surrogateescape") for i in range(len(data.ids))]
    rows = zip(data.ids.tolist(), names, data.sizes.tolist(), strict=True)
    return [
        {
            "id": one, "file_name": name, "height": height, "width": width,
            **{key: str(of(name)) for key, of in beside.items()},
        }
        for one, name, (height, width) in rows
    ]  # fmt: skip


def _categories(meta: DatasetMeta) -> list[Record]:
    bones = [[first + 1, second + 1] for first, second in meta.skeleton]
    joints = {"keypoints": list(meta.keypoints), "skeleton": bones} if meta.keypoints else {}
    pairs = zip(meta.category_ids, meta.classes, strict=True)
    return [{"id": number, "name": name, **joints} for number, name in pairs]


def complete(annotation: Record, number: int) -> Record:
    """With the fields that evaluators expect and many exports leave out."""
    width, height = annotation["bbox"][2:]
    return {"iscrowd": 0, "area": width * height, **annotation, "id": number}
