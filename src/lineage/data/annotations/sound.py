"""A quick test of an annotation: nearly all have no defect, and are not checked any further (defects.py)."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

TOLERANCE = 2.0  # pixels a box may reach outside, as boxes of COCO do by rounding; they are clipped
MAX_ID = 2**63 - 1

Size = tuple[int, int]  # height, width


def is_sound(
    annotation: Mapping[str, Any], sizes: Mapping[int, Size], keypoint_counts: Mapping[int, int], has_masks: bool
) -> bool:
    """Return True if the annotation alone has no defect for certain; False also for rare notations that are legal.

    sizes: image id -> size, of the images that state theirs
    keypoint_counts: category id -> number of keypoints
    has_masks: whether any annotation has a mask
    """
    try:
        return (
            type(annotation["id"]) is type(annotation["image_id"]) is type(annotation["category_id"]) is int
            and -MAX_ID <= annotation["id"] <= MAX_ID
            and isfinite(annotation.get("area", 0))
            and annotation.get("iscrowd") in (None, 0, 1)
            and _is_sound_box(annotation["bbox"], *sizes[annotation["image_id"]])
            and _is_sound_mask(annotation.get("segmentation"), has_masks, max(sizes[annotation["image_id"]]))
            and _are_sound_keypoints(annotation.get("keypoints"), keypoint_counts[annotation["category_id"]])
        )
    except (KeyError, TypeError, ValueError, OverflowError):  # a field or an id is missing, or of another type
        return False


def _is_sound_box(box: list[float], height: int, width: int) -> bool:
    x, y, w, h = box
    return (
        w > 0
        and h > 0
        and -TOLERANCE <= x < width
        and -TOLERANCE <= y < height
        and 0 < x + w <= width + TOLERANCE
        and 0 < y + h <= height + TOLERANCE
        and type(box) is list
    )


def _is_sound_mask(polygons: Any, is_expected: bool, reach: int) -> bool:
    """Return True for polygons of three points or more, none farther than `reach` pixels from the image."""
    if not polygons:
        return not is_expected
    for polygon in polygons:
        if type(polygon) is not list or len(polygon) < 6 or len(polygon) % 2 or not isfinite(sum(polygon)):
            return False
        if min(polygon) < -reach or max(polygon) > 2 * reach:
            return False
    return type(polygons) is list


def _are_sound_keypoints(points: Any, count: int) -> bool:
    return not points or (type(points) is list and len(points) == 3 * count and isfinite(sum(points)))
