"""A quick test of annotations: nearly all have no defect, and are not checked any further (defects.py).

Thousands are tested together as arrays; if one of them is of a rare notation, each of them by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from math import isfinite
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lineage.data.annotations.id_lookup import IdLookup, to_integers
from lineage.data.annotations.polygon_table import Polygons, flatten_polygons, to_floats

TOLERANCE = 2.0  # pixels a box may reach outside, as boxes of COCO do by rounding; they are clipped. Of keypoints too
VISIBILITIES = frozenset((0, 1, 2))  # of a keypoint: absent, hidden, visible
MAX_ID = 2**63 - 1
LONGEST = 2**31  # no side of a PNG has more pixels

AT_ONCE = 4096  # annotations; more are no faster
REQUIRED = itemgetter("id", "image_id", "category_id", "bbox")

Size = tuple[int, int]  # height, width
Booleans = NDArray[np.bool_]


class RareNotationError(ValueError):
    """Annotations that cannot be tested together."""


def find_sound(
    annotations: Sequence[Mapping[str, Any]],
    sizes: Mapping[int, Size],
    keypoint_counts: Mapping[int, int],
    has_masks: bool,
) -> list[bool]:
    """Return `is_sound` of each annotation."""
    sound: list[bool] = []
    lookup = IdLookup(sizes)
    table = np.array([*sizes.values()], np.float64).reshape(-1, 2)
    for start in range(0, len(annotations), AT_ONCE):
        chunk = annotations[start : start + AT_ONCE]
        try:
            sound += _test_together(chunk, lookup, table, keypoint_counts, has_masks).tolist()
        except (KeyError, TypeError, ValueError, OverflowError):
            sound += [is_sound(annotation, sizes, keypoint_counts, has_masks) for annotation in chunk]
    return sound


def _test_together(
    annotations: Sequence[Mapping[str, Any]],
    images: IdLookup,
    sizes: NDArray[np.float64],
    keypoint_counts: Mapping[int, int],
    has_masks: bool,
) -> Booleans:
    """Return [n] `is_sound` of n annotations. Raises an error of any kind if one of them is of a rare notation.

    sizes: [I, 2] (height, width) of the images
    """
    # 1. Ids, flags and areas: types and ranges.
    ids, image_ids, category_ids, boxes = zip(*map(REQUIRED, annotations), strict=True)
    _require({*map(type, chain(ids, image_ids, category_ids))} == {int})
    _require(min(ids) >= -MAX_ID and max(ids) <= MAX_ID)
    _require({annotation.get("iscrowd") for annotation in annotations} <= {None, 0, 1})
    _require(bool(np.isfinite(to_floats([[annotation.get("area", 0) for annotation in annotations]])).all()))
    # 2. Boxes, against the images.
    height, width = sizes[images.find(to_integers(image_ids))].T
    _require({*map(len, boxes)} == {4})
    x, y, w, h = to_floats(boxes).reshape(-1, 4).T
    sound = (w > 0) & (h > 0) & (x >= -TOLERANCE) & (x < width) & (y >= -TOLERANCE) & (y < height)
    sound &= (x + w > 0) & (x + w <= width + TOLERANCE) & (y + h > 0) & (y + h <= height + TOLERANCE)
    # 3. Masks and keypoints.
    masks = [annotation.get("segmentation") for annotation in annotations]
    sound &= _test_masks(masks, has_masks, np.maximum(height, width))
    points = [annotation.get("keypoints") for annotation in annotations]
    counts = [keypoint_counts[category_id] for category_id in category_ids]
    if any(points):
        sound &= np.array([*map(_are_sound_keypoints, points, counts, height.tolist(), width.tolist())])
    return sound


def _test_masks(masks: Sequence[Any], is_expected: bool, reach: NDArray[np.float64]) -> Booleans:
    """Return [n] `_is_sound_mask` of n masks; `reach` [n] in pixels."""
    sound = np.array([not mask and not is_expected for mask in masks])
    table = flatten_polygons(masks)
    if len(table.rows):
        _require(bool((table.lengths >= 6).all() and (table.lengths % 2 == 0).all()))
        starts = table.lengths.cumsum() - table.lengths
        reach = np.repeat(reach[table.rows], table.counts)
        is_near = np.minimum.reduceat(table.coordinates, starts) >= -reach
        is_near &= np.maximum.reduceat(table.coordinates, starts) <= 2 * reach
        sound[table.rows] = np.logical_and.reduceat(is_near, table.counts.cumsum() - table.counts)
    return sound


def _require(condition: bool) -> None:
    if not condition:
        raise RareNotationError


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
            and _are_sound_keypoints(
                annotation.get("keypoints"),
                keypoint_counts[annotation["category_id"]],
                *sizes[annotation["image_id"]],
            )
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
    if type(polygons) is Polygons:
        polygons = polygons.to_lists()
    for polygon in polygons:
        if type(polygon) is not list or len(polygon) < 6 or len(polygon) % 2 or not isfinite(sum(polygon)):
            return False
        if min(polygon) < -reach or max(polygon) > 2 * reach:
            return False
    return type(polygons) is list


def _are_sound_keypoints(points: Any, count: int, height: float, width: float) -> bool:
    return not points or (
        type(points) is list
        and len(points) == 3 * count
        and are_coordinates(points)
        and VISIBILITIES.issuperset(points[2::3])
        and min(points) >= -TOLERANCE
        and max(points[::3]) <= width + TOLERANCE
        and max(points[1::3]) <= height + TOLERANCE
    )


def are_coordinates(numbers: list[Any]) -> bool:
    """Return whether all are numbers of pixels: finite in 32 bits too, where 1e308 is not."""
    try:
        return isfinite(sum(numbers)) and min(numbers) >= -LONGEST and max(numbers) <= LONGEST
    except (TypeError, ValueError, OverflowError):  # a whole number of 310 digits is no coordinate
        return False
