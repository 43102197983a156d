"""Masks as polygons, which a page draws sharply at any zoom and colours by class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

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
