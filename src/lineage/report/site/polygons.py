"""Masks as polygons, which a page draws sharply at any zoom and colours by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from lineage.eval.predictions.rle import compress_counts, decode

TOLERANCE = 0.7  # pixels that a simplified contour may be off
FEWEST = 3  # corners


def trace_mask(rle: Mapping[str, Any]) -> list[list[int]]:
    """Return the contours of a mask, holes included: x, y, x, y, ... of each; an even-odd fill gives the mask."""
    mask = decode(dict(rle)).astype(np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    simple = [cv2.approxPolyDP(contour, TOLERANCE, True)[:, 0] for contour in contours]
    return [[int(value) for value in contour.reshape(-1)] for contour in simple if len(contour) >= FEWEST]


def trace_annotation(segmentation: Any, size: tuple[int, int]) -> list[list[int]] | None:
    """Return the polygons of an annotation, COCO polygons or RLE, of an image of `size` (height, width)."""
    if not segmentation:
        return None
    if isinstance(segmentation, list):
        return [[round(value) for value in polygon] for polygon in segmentation]
    return trace_mask({"size": [*size], "counts": compress_counts(segmentation, size)})


class IdShape(NamedTuple):
    """The mask of an object on an id map."""

    number: int  # of its class, from 1
    area: float  # that orders objects
    polygons: Sequence[Sequence[float]]  # as of trace_mask


def paint_ids(shapes: Sequence[IdShape], size: tuple[int, int]) -> tuple[NDArray[np.uint8], int]:
    """Return the class of each pixel, 0 without an object, and the number of masks that another covers in part.

    Small objects lie on top of large ones. size: (height, width) of the map, in whose pixels the polygons are.
    """
    ids = np.zeros(size, np.uint8)
    covered, num_overlapping = np.zeros(size, bool), 0
    for shape in sorted(shapes, key=lambda shape: shape.area):
        pixels = fill_polygons(shape.polygons, size)
        num_overlapping += int((pixels & covered).any())
        ids[pixels & ~covered] = shape.number
        covered |= pixels
    return ids, num_overlapping


def fill_polygons(polygons: Sequence[Sequence[float]], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the mask [h, w] of polygons by an even-odd fill."""
    mask = np.zeros(size, np.uint8)
    corners = [np.round(np.reshape(polygon, (-1, 2))).astype(np.int32) for polygon in polygons]
    cv2.fillPoly(mask, corners, 1)
    return mask.astype(bool)
