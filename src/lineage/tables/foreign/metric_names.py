"""Metrics of other code bases by our names and in percent: `bbox/AP` and `coco/bbox_mAP` are box/AP."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

TASKS = {
    "bbox": "box", "box": "box", "segm": "mask", "mask": "mask", "keypoints": "keypoint", "keypoint": "keypoint",
    "panoptic_seg": "panoptic", "panoptic": "panoptic", "coco_panoptic": "panoptic",
}  # fmt: skip
# detectron2, Detectron and ours: [dataset/]bbox/AP50, in percent
SLASHED = re.compile(r"(?:.+/)?(bbox|box|segm|mask|keypoints?|panoptic_seg|coco_panoptic|panoptic)/"
                     r"(AP|AP50|AP75|APs|APm|APl|APr|APc|APf|PQ|SQ|RQ)")  # fmt: skip
# mmdetection: [coco/]bbox_mAP_50, of 1
UNDERSCORED = re.compile(r"(?:.+/)?(bbox|segm|keypoints)_mAP(?:_(50|75|s|m|l))?")
VOC = re.compile(r"(?:pascal_voc/)?mAP")  # mmdetection's VOC: AP at IoU 0.5, of 1


def translate_metrics(
    record: Mapping[str, Any], named: Mapping[str, str] | None = None, fractions: bool = False
) -> dict[str, float | None]:
    """Return the metrics of a record of a log by our names, in percent; None for one that was not measured.

    named: our name -> the name in the record, for names that are nobody's convention
    fractions: those of `named` are of 1
    """
    metrics: dict[str, float | None] = {}
    for name, value in record.items():
        translated = translate_name(name)
        if translated is not None and is_number(value):
            ours, factor = translated
            metrics[ours] = round(value * factor, 6) if math.isfinite(value) else None
    for ours, theirs in (named or {}).items():
        if is_number(record.get(theirs)):
            metrics[ours] = record[theirs] * (100 if fractions else 1)
    return metrics


def translate_name(name: str) -> tuple[str, float] | None:
    """Return our name of a metric and the factor to percent; None for what is no metric of a test."""
    if match := SLASHED.fullmatch(name):
        return f"{TASKS[match[1]]}/{match[2]}", 1.0
    if match := UNDERSCORED.fullmatch(name):
        return f"{TASKS[match[1]]}/AP{match[2] or ''}", 100.0
    return ("box/AP50", 100.0) if VOC.fullmatch(name) else None


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
