"""A mask as an index keeps it: the polygons it was drawn from, or COCO's run lengths where these are shorter.

    run lengths   COCO's compressed string, whose characters are "0" to "o"
    polygons      how many there are, a byte below "0"; of each how many numbers it has, then all numbers:
                  hundredths of a pixel, little-endian, 2 bytes each

COCO's and LVIS's polygons have two digits after the point and lie on images of up to 640 pixels, so hundredths say all
of them, in less than half of what their runs take. A polygon that they do not say exactly stays run lengths.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
from pycocotools import mask as rle

MOST = ord("0")  # polygons of one mask stay below
UNIT = 100  # per pixel
CHARACTERS = 3  # that a column of a mask takes as run lengths, about, in COCO and LVIS


def run_lengths(annotation: Mapping[str, Any], size: Sequence[int]) -> bytes:
    """Any of COCO's three notations, drawn at (height, width); polygons cost their outline, not their area."""
    shape, (height, width) = annotation.get("segmentation"), size
    if not shape:
        return b""
    if isinstance(shape, list):
        return _drawn(shape, height, width)
    found = rle.frPyObjects(shape, height, width) if isinstance(shape["counts"], list) else shape
    return _bytes(found["counts"])


def packed(annotation: Mapping[str, Any], size: Sequence[int]) -> bytes:
    """Polygons where they promise to be shorter, else run lengths; nothing for an object without a mask."""
    shape = annotation.get("segmentation")
    outline = _hundredths(shape) if shape and isinstance(shape, list) and _worth_it(shape) else None
    return outline or run_lengths(annotation, size)


def _worth_it(polygons: list[list[float]]) -> bool:
    """A guess, as knowing would mean drawing all of a dataset's masks to throw most of them away."""
    columns = sum(max(polygon[::2]) - min(polygon[::2]) for polygon in polygons)
    return len(polygons) < MOST and 1 + 2 * sum(1 + len(polygon) for polygon in polygons) < CHARACTERS * columns


def unpacked(text: bytes, size: Sequence[int]) -> bytes:
    """The run lengths of what `packed` made."""
    if not text or text[0] >= MOST:
        return text
    numbers = np.frombuffer(text, "<u2", offset=1)
    lengths, numbers = numbers[: text[0]], numbers[text[0] :] / UNIT
    return _drawn([part.tolist() for part in np.split(numbers, lengths.cumsum()[:-1])], *size)


def _drawn(polygons: list[list[float]], height: int, width: int) -> bytes:
    codes = rle.frPyObjects(polygons, height, width)
    return _bytes((codes[0] if len(codes) == 1 else rle.merge(codes))["counts"])


def _hundredths(polygons: list[list[float]]) -> bytes | None:
    """None where a number is not one of 0.00, 0.01, ... 655.35."""
    numbers = list(chain.from_iterable(polygons))
    whole = [round(UNIT * number) for number in numbers]
    if min(whole) < 0 or max(whole) >> 16 or [number / UNIT for number in whole] != numbers:
        return None
    lengths = [len(polygon) for polygon in polygons]
    return struct.pack(f"<B{len(lengths) + len(whole)}H", len(lengths), *lengths, *whole)


def _bytes(counts: str | bytes) -> bytes:
    return counts.encode() if isinstance(counts, str) else counts
