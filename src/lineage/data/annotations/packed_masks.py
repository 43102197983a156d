"""Packed masks: the bytes of a mask in an index, polygons or COCO's run lengths, whichever are shorter.

    run lengths   COCO's compressed string, whose characters are "0" to "o"
    polygons      the number of polygons, a byte below "0"; the number of coordinates of each; then all coordinates:
                  hundredths of a pixel, little-endian, 2 bytes each

COCO's and LVIS's polygons have two decimals and lie on images of up to 640 pixels, so hundredths are exact and take
less than half of the run lengths. A polygon that hundredths do not represent exactly is stored as run lengths.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
from pycocotools import mask as rle

POLYGONS_BELOW = ord("0")  # a mask has fewer polygons than this; a first byte below it marks polygons
HUNDREDTHS = 100  # per pixel
RLE_BYTES_PER_COLUMN = 3  # of a mask, about, in COCO and LVIS


def pack(annotation: Mapping[str, Any], size: Sequence[int]) -> bytes:
    """Return polygons if they are likely to be shorter, else run lengths; empty for an object without a mask."""
    segmentation = annotation.get("segmentation")
    if segmentation and isinstance(segmentation, list) and _are_polygons_shorter(segmentation):
        return _pack_polygons(segmentation) or encode_rle(annotation, size)
    return encode_rle(annotation, size)


def to_rle(packed: bytes, size: Sequence[int]) -> bytes:
    """Return the compressed run lengths of packed bytes on a canvas of (height, width)."""
    if not packed or packed[0] >= POLYGONS_BELOW:
        return packed
    numbers = np.frombuffer(packed, "<u2", offset=1)
    lengths, coordinates = numbers[: packed[0]], numbers[packed[0] :] / HUNDREDTHS
    return _rasterize([polygon.tolist() for polygon in np.split(coordinates, lengths.cumsum()[:-1])], *size)


def encode_rle(annotation: Mapping[str, Any], size: Sequence[int]) -> bytes:
    """Return the run lengths of a segmentation in any of COCO's three notations; empty without one."""
    segmentation, (height, width) = annotation.get("segmentation"), size
    if not segmentation:
        return b""
    if isinstance(segmentation, list):
        return _rasterize(segmentation, height, width)
    is_list = isinstance(segmentation["counts"], list)
    return _to_bytes((rle.frPyObjects(segmentation, height, width) if is_list else segmentation)["counts"])


def _are_polygons_shorter(polygons: list[list[float]]) -> bool:
    """Estimate, for the exact answer would rasterise all masks of a dataset to throw most of them away."""
    columns = sum(max(polygon[::2]) - min(polygon[::2]) for polygon in polygons)
    packed_bytes = 1 + 2 * sum(1 + len(polygon) for polygon in polygons)
    return len(polygons) < POLYGONS_BELOW and packed_bytes < RLE_BYTES_PER_COLUMN * columns


def _pack_polygons(polygons: list[list[float]]) -> bytes | None:
    """Return None if a coordinate is not one of 0.00, 0.01, ... 655.35."""
    coordinates = list(chain.from_iterable(polygons))
    hundredths = [round(HUNDREDTHS * coordinate) for coordinate in coordinates]
    if min(hundredths) < 0 or max(hundredths) >> 16:
        return None
    if [number / HUNDREDTHS for number in hundredths] != coordinates:
        return None
    lengths = [len(polygon) for polygon in polygons]
    return struct.pack(f"<B{len(lengths) + len(hundredths)}H", len(lengths), *lengths, *hundredths)


def _rasterize(polygons: list[list[float]], height: int, width: int) -> bytes:
    codes = rle.frPyObjects(polygons, height, width)
    return _to_bytes((codes[0] if len(codes) == 1 else rle.merge(codes))["counts"])


def _to_bytes(counts: str | bytes) -> bytes:
    return counts.encode() if isinstance(counts, str) else counts
