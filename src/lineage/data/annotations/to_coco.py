"""Columns as a COCO dict again, for evaluators and exporters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lineage.data.annotations.columns import Columns
from lineage.data.annotations.defects import Record
from lineage.data.annotations.packed_masks import to_rle
from lineage.data.annotations.paths import SidecarFiles
from lineage.data.samples.metadata import DatasetMeta


def to_coco_dict(columns: Columns, meta: DatasetMeta, sidecars: Mapping[str, SidecarFiles]) -> dict[str, Any]:
    """Return {images, annotations, categories}; an image has the path of each of its sidecar files."""
    boxes = columns.boxes.astype(np.float64)
    boxes[:, 2:] -= boxes[:, :2]
    owners = np.repeat(np.arange(len(columns.image_ids)), np.diff(columns.offsets)).tolist()
    ids, crowd, areas = columns.annotation_ids.tolist(), columns.crowd.tolist(), columns.areas.tolist()
    annotations = [
        {
            "id": ids[row], "image_id": int(columns.image_ids[owner]), "bbox": boxes[row].tolist(), "area": areas[row],
            "category_id": meta.category_ids[columns.labels[row]], "iscrowd": int(crowd[row]),
            **_geometry(columns, row, owner, len(meta.keypoints)),
            **{name: int(column[row]) for name, column in columns.extra.items()},
        }
        for row, owner in enumerate(owners)
    ]  # fmt: skip
    return {"images": _images(columns, sidecars), "annotations": annotations, "categories": _categories(meta)}


def _geometry(columns: Columns, row: int, image: int, keypoints: int) -> Record:
    """Return the mask and the keypoints of one object, as far as it has them."""
    fields: Record = {}
    if columns.masks is not None and (packed := columns.masks(row)):
        size = columns.image_sizes[image].tolist()
        fields["segmentation"] = {"size": size, "counts": to_rle(packed, size).decode()}
    if columns.keypoints is not None:
        points = columns.keypoints.dense(range(row, row + 1), keypoints)[0] - np.array([0.5, 0.5, 0], np.float32)
        fields |= {"keypoints": points.ravel().tolist(), "num_keypoints": int((points[:, 2] > 0).sum())}
    return fields


def _images(columns: Columns, sidecars: Mapping[str, SidecarFiles]) -> list[Record]:
    return [
        record | {key: str(files.path_of(record["file_name"])) for key, files in sidecars.items()}
        for record in columns.image_records()
    ]


def _categories(meta: DatasetMeta) -> list[Record]:
    skeleton = [[first + 1, second + 1] for first, second in meta.skeleton]
    keypoints = {"keypoints": list(meta.keypoints), "skeleton": skeleton} if meta.keypoints else {}
    return [category | keypoints for category in meta.categories()]


def complete_annotation(annotation: Record, annotation_id: int) -> Record:
    """Return the annotation with this id and with the fields that evaluators expect and many exports leave out."""
    width, height = annotation["bbox"][2:]
    return {"iscrowd": 0, "area": width * height, **annotation, "id": annotation_id}
