"""Detections become labels: data distillation (arXiv:1712.04440), section 3, "selecting predictions".

A teacher's scores mean something else with every teacher, so no threshold is fixed. It is chosen so that an image gets
as many objects as annotators gave one, on average; and so are the keypoints of an object [recalled].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lineage.eval.predictions.collector import records
from lineage.eval.predictions.predictions import Detected

VISIBLE = 2  # COCO's flag of a keypoint that is there


class NothingFound(ValueError):
    """A teacher that finds nothing labels nothing."""


class Density(NamedTuple):
    """How much annotators labelled, crowds left out."""

    objects: float  # of an image
    keypoints: float  # of an object


def density(truth: Mapping[str, Any]) -> Density:
    objects = [one for one in truth["annotations"] if not one.get("iscrowd")]
    keypoints = sum(sum(flag > 0 for flag in (one.get("keypoints") or ())[2::3]) for one in objects)
    return Density(len(objects) / len(truth["images"]), keypoints / max(len(objects), 1))


def threshold(scores: NDArray[Any], count: int) -> float:
    """The score that `count` of them reach; all of them do where there are no more."""
    kept = min(max(count, 1), len(scores))
    return float(np.sort(scores)[len(scores) - kept])


def labelled(found: Detected, wanted: Density) -> tuple[Detected, dict[str, float]]:
    """The detections that become labels, with COCO's flags in place of keypoints' scores, and the two thresholds.

    Raises NothingFound where there is no detection to choose.
    """
    low, high = found.boxes[:, :2], found.boxes[:, 2:]
    found = found.rows_of(np.all(low < high, axis=1))  # a box at the border may have been cut to nothing
    if not len(found.scores):
        raise NothingFound(
            f"The teacher finds nothing in the {len(found.images)} images of dataset.unlabelled, so nothing can be "
            "learned from it. Train it for longer, or lower model.box.score."
        )
    score = threshold(found.scores, round(wanted.objects * len(found.images)))
    chosen = found.rows_of(found.scores >= score)
    if not chosen.keypoints.size:
        return chosen, {"score": score}
    places, scores = chosen.keypoints[..., :2], chosen.keypoints[..., 2:]
    least = threshold(scores.ravel(), round(wanted.keypoints * len(scores)))
    flags = np.where(scores >= least, np.float32(VISIBLE), np.float32(0))
    keypoints = np.concatenate([np.where(flags > 0, places, 0), flags], axis=-1)
    return chosen._replace(keypoints=keypoints), {"score": score, "keypoint_score": least}


def as_coco(chosen: Detected, category_ids: Sequence[int]) -> list[dict[str, Any]]:
    """As a COCO-format file lists them."""
    found = records(chosen, np.array(category_ids, np.int64))
    return [completed(number, record) for number, record in enumerate(found, 1)]


def completed(number: int, record: dict[str, Any]) -> dict[str, Any]:
    """A result record with the fields of an annotation."""
    area = record["bbox"][2] * record["bbox"][3]
    joints = {"num_keypoints": sum(flag > 0 for flag in record["keypoints"][2::3])} if "keypoints" in record else {}
    return {"id": number, **record, "area": area, "iscrowd": 0, **joints}
