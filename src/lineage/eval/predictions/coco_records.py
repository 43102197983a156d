"""Predictions as COCO's result records, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lineage.eval.predictions.predictions import NO_PREDICTIONS, Predictions
from lineage.eval.predictions.rle import compress_counts
from lineage.eval.tasks import FIELDS

Record = dict[str, Any]


def to_records(
    predictions: Predictions, category_ids: NDArray[np.int64] | Sequence[int], task: str | None = None
) -> list[Record]:
    """Return a COCO result record for each detection; `category_ids` [C] is the id of each label.

    With a task, a record holds the geometry of that task only, as COCO's server expects; else all there is.
    """
    fields = {*FIELDS.values()} if task is None else {FIELDS[task]}
    columns: dict[str, list[Any]] = {
        "image_id": predictions.image_ids().tolist(),
        "category_id": np.asarray(category_ids, np.int64)[predictions.labels].tolist(),
        "score": predictions.scores.tolist(),
    }
    if "bbox" in fields:
        columns["bbox"] = predictions.boxes.tolist()
    if "segmentation" in fields and len(predictions.rle_lengths):
        columns["segmentation"] = predictions.masks()
    if "keypoints" in fields and predictions.keypoints.size:
        columns["keypoints"] = predictions.keypoints.reshape(len(predictions.scores), -1).tolist()
    columns |= {name: column.tolist() for name, column in predictions.extra.items()}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def from_records(
    records: Sequence[Record], images: Sequence[Mapping[str, Any]], category_ids: NDArray[np.int64], task: str
) -> Predictions:
    """Return the predictions of checked result records that have the geometry of `task`, in the order of the file.

    `images` are the ground truth's records; `category_ids` are in the order of their labels. Masks may also be polygons
    or run lengths that are not compressed. Boxes are zero in records without a box.
    """
    records = [record for record in records if record.get(FIELDS[task]) is not None]
    row_of = {image["id"]: row for row, image in enumerate(images)}
    label_of = {number: label for label, number in enumerate(category_ids.tolist())}
    image_index = np.array([row_of[record["image_id"]] for record in records], np.int64)
    predictions = NO_PREDICTIONS._replace(
        images=np.array([*row_of], np.int64),
        sizes=np.array([(image.get("height") or 0, image.get("width") or 0) for image in images], np.int64),
        image_index=image_index,
        boxes=np.array([record.get("bbox") or (0, 0, 0, 0) for record in records], np.float64).reshape(-1, 4),
        scores=np.array([record["score"] for record in records], np.float64),
        labels=np.array([label_of[record["category_id"]] for record in records], np.int64),
    )
    if FIELDS[task] == "segmentation":
        return _with_masks(predictions, [record["segmentation"] for record in records])
    if FIELDS[task] == "keypoints":
        return predictions._replace(keypoints=_keypoints([record["keypoints"] for record in records]))
    return predictions


def _with_masks(predictions: Predictions, shapes: Sequence[Any]) -> Predictions:
    """Add masks to predictions; images of unknown size take that of their masks."""
    sizes, texts = predictions.sizes.copy(), []
    for image, shape in zip(predictions.image_index.tolist(), shapes, strict=True):
        if isinstance(shape, Mapping):
            sizes[image] = shape["size"]
        texts.append(compress_counts(shape, sizes[image].tolist()))
    rle = np.frombuffer(b"".join(texts), np.uint8) if texts else predictions.rle
    return predictions._replace(sizes=sizes, rle=rle, rle_lengths=np.array([len(text) for text in texts], np.int64))


def _keypoints(points: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """Return [N, K, 3] keypoints; shorter lists, of categories with fewer keypoints, are filled up with zeros."""
    columns = np.zeros((len(points), max(map(len, points), default=0)))
    for row, values in enumerate(points):
        columns[row, : len(values)] = values
    return columns.reshape(len(points), -1, 3) if columns.size else np.zeros((len(points), 0, 3))
