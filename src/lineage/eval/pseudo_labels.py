"""Detections become labels: data distillation (arXiv:1712.04440), section 3, "selecting predictions".

Scores of two teachers are not comparable, so the threshold is not a constant. It is chosen so that an image gets as
many objects as annotators labelled on average; the same holds for the keypoints of an object [recalled].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lineage.eval.predictions.coco_records import to_records
from lineage.eval.predictions.predictions import Predictions

VISIBLE = 2  # COCO's flag of a visible keypoint


class NothingFound(ValueError):
    """A teacher without detections, which cannot label anything."""


class LabelDensity(NamedTuple):
    """Average number of labels by annotators, crowds left out."""

    objects_per_image: float
    keypoints_per_object: float


def label_density(document: Mapping[str, Any]) -> LabelDensity:
    """Return the label density of a COCO document."""
    objects = [annotation for annotation in document["annotations"] if not annotation.get("iscrowd")]
    keypoints = sum(sum(flag > 0 for flag in (annotation.get("keypoints") or ())[2::3]) for annotation in objects)
    return LabelDensity(len(objects) / len(document["images"]), keypoints / max(len(objects), 1))


def threshold(scores: NDArray[Any], count: int) -> float:
    """Return the score that `count` scores reach, or the lowest if there are fewer."""
    reached = min(max(count, 1), len(scores))
    return float(np.sort(scores)[len(scores) - reached])


def select_labels(predictions: Predictions, density: LabelDensity) -> tuple[Predictions, dict[str, float]]:
    """Return the detections that become labels and the thresholds used; keypoints get COCO's flags for their scores.

    Raises NothingFound if no detection has an area.
    """
    predictions = predictions.take(np.flatnonzero((predictions.boxes[:, 2:] > 0).all(axis=1)))
    if not len(predictions.scores):
        raise NothingFound(
            f"The teacher finds nothing in the {len(predictions.images)} images of dataset.unlabelled, so nothing can "
            "be learned from it. Train it for longer, or lower model.box.score_thresh."
        )
    score = threshold(predictions.scores, round(density.objects_per_image * len(predictions.images)))
    labels = predictions.take(np.flatnonzero(predictions.scores >= score))
    if not labels.keypoints.size:
        return labels, {"score": score}
    points, scores = labels.keypoints[..., :2], labels.keypoints[..., 2:]
    keypoint_score = threshold(scores.ravel(), round(density.keypoints_per_object * len(scores)))
    flags = np.where(scores >= keypoint_score, float(VISIBLE), 0.0)
    keypoints = np.concatenate([np.where(flags > 0, points, 0), flags], axis=-1)
    return labels._replace(keypoints=keypoints), {"score": score, "keypoint_score": keypoint_score}


def to_annotations(labels: Predictions, category_ids: Sequence[int]) -> list[dict[str, Any]]:
    """Return labels as annotations of a COCO file; `category_ids` is the id of each label."""
    records = to_records(labels, category_ids)
    return [complete_annotation(number, record) for number, record in enumerate(records, 1)]


def complete_annotation(number: int, record: dict[str, Any]) -> dict[str, Any]:
    """Return a result record with the fields of an annotation."""
    area = record["bbox"][2] * record["bbox"][3]
    flags = {"num_keypoints": sum(flag > 0 for flag in record["keypoints"][2::3])} if "keypoints" in record else {}
    return {"id": number, **record, "area": area, "iscrowd": 0, **flags}
