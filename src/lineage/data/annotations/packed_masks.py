"""Packed masks: the bytes of a mask in an index, polygons or COCO's run lengths, whichever are shorter.

    run lengths   COCO's compressed string, whose characters are "0" to "o"
    polygons      the number of polygons, a byte below "0"; the number of coordinates of each; then all coordinates:
                  hundredths of a pixel, little-endian, 2 bytes each

COCO's and LVIS's polygons have two decimals and lie on images of up to 640 pixels, so hundredths are exact and take
less than half of the run lengths. A polygon that hundredths do not represent exactly is stored as run lengths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle

from lineage.data.annotations.polygon_table import Floats, Integers, Polygons, PolygonTable, flatten_polygons

POLYGONS_BELOW = ord("0")  # a mask has fewer polygons than this; a first byte below it marks polygons
HUNDREDTHS = 100  # per pixel
RLE_BYTES_PER_COLUMN = 3  # of a mask, about, in COCO and LVIS
UINT16_MAX = 65535
MASKS_AT_ONCE = 4096  # packed together; more take more memory and no less time

Booleans = NDArray[np.bool_]


def pack_masks(annotations: Sequence[Mapping[str, Any]], sizes: Integers) -> list[bytes]:
    """Return the packed mask of each of n annotations: polygons if they are likely to be shorter, else run lengths.

    annotations: without defects, so a polygon has three points or more; empty bytes for an object without a mask
    sizes: [n, 2] (height, width) of the image of each annotation
    """
    packed: list[bytes] = []
    for start in range(0, len(annotations), MASKS_AT_ONCE):
        chunk = annotations[start : start + MASKS_AT_ONCE]
        chunk_sizes = sizes[start : start + MASKS_AT_ONCE].tolist()
        polygons = _pack_polygons(flatten_polygons([annotation.get("segmentation") for annotation in chunk]))
        packed += [
            polygons.get(row) or encode_rle(annotation, size)
            for row, (annotation, size) in enumerate(zip(chunk, chunk_sizes, strict=True))
        ]
    return packed


def to_rle(packed: bytes, size: Sequence[int]) -> bytes:
    """Return the compressed run lengths of packed bytes on a canvas of (height, width)."""
    if not packed or packed[0] >= POLYGONS_BELOW:
        return packed
    numbers = np.frombuffer(packed, "<u2", offset=1)
    lengths, coordinates = numbers[: packed[0]], numbers[packed[0] :] / HUNDREDTHS
    return _rasterize([polygon.tolist() for polygon in np.split(coordinates, lengths.cumsum()[:-1])], *size)


def encode_rle(annotation: Mapping[str, Any], size: Sequence[int]) -> bytes:
    """Return the run lengths of a segmentation in any of COCO's three notations; empty without one."""
    segmentation = annotation.get("segmentation")
    height, width = size
    if not segmentation:
        return b""
    if isinstance(segmentation, Polygons):
        return _rasterize(segmentation.split(), height, width)
    if isinstance(segmentation, list):
        return _rasterize(segmentation, height, width)
    is_list = isinstance(segmentation["counts"], list)
    return _to_bytes((rle.frPyObjects(segmentation, height, width) if is_list else segmentation)["counts"])


def _pack_polygons(table: PolygonTable) -> dict[int, bytes]:
    """Return row -> bytes, for the masks whose polygons are exact in hundredths and likely to be shorter."""
    _, counts, lengths, coordinates = table
    owners, masks = table.owners, len(table.rows)
    # 1. Choose masks of few polygons that get shorter, and all of whose numbers are whole and fit two bytes.
    hundredths = np.rint(HUNDREDTHS * coordinates)
    is_exact = (hundredths >= 0) & (hundredths <= UINT16_MAX) & (hundredths / HUNDREDTHS == coordinates)
    is_chosen = _are_polygons_shorter(coordinates, lengths, counts, owners) & (counts < POLYGONS_BELOW)
    is_chosen[np.repeat(owners, lengths)[~is_exact]] = False
    is_chosen[owners[lengths > UINT16_MAX]] = False
    # 2. Per chosen mask, the lengths of its polygons before their coordinates.
    hundredths = hundredths[np.repeat(is_chosen[owners], lengths)].astype("<u2")
    lengths, owners = lengths[is_chosen[owners]], owners[is_chosen[owners]]
    counts = counts[is_chosen]
    coordinate_counts = _sum_by_mask(lengths, owners, masks)[is_chosen].astype(np.int64)
    numbers = _interleave(lengths.astype("<u2"), counts, hundredths, coordinate_counts)
    # 3. Before both, the number of polygons.
    sizes = 2 * (counts + coordinate_counts)
    text = _interleave(counts.astype(np.uint8), np.ones_like(counts), numbers.view(np.uint8), sizes).tobytes()
    spans = pairwise([0, *(1 + sizes).cumsum().tolist()])
    return {row: text[start:end] for row, (start, end) in zip(table.rows[is_chosen].tolist(), spans, strict=True)}


def _are_polygons_shorter(coordinates: Floats, lengths: Integers, counts: Integers, owners: Integers) -> Booleans:
    """Estimate [masks], for the exact answer would rasterise all masks of a dataset to throw most of them away."""
    if not len(lengths):
        return np.zeros(0, np.bool_)
    x, starts = coordinates[::2], (lengths.cumsum() - lengths) // 2
    widths = np.maximum.reduceat(x, starts) - np.minimum.reduceat(x, starts)
    packed_bytes = 1 + 2 * (counts + _sum_by_mask(lengths, owners, len(counts)))
    return packed_bytes < RLE_BYTES_PER_COLUMN * _sum_by_mask(widths, owners, len(counts))


def _sum_by_mask(values: NDArray[Any], owners: Integers, masks: int) -> NDArray[Any]:
    """Return [masks] the sum over the polygons of each mask."""
    return np.bincount(owners, values, masks)


def _interleave(
    first: NDArray[Any], first_lengths: Integers, second: NDArray[Any], second_lengths: Integers
) -> NDArray[Any]:
    """Return the runs of two arrays in turn: the first of `first`, the first of `second`, and so on."""
    lengths = np.stack([first_lengths, second_lengths], axis=1).ravel()
    is_first = np.repeat(np.arange(len(lengths)) % 2 == 0, lengths)
    runs = np.empty(len(is_first), first.dtype)
    runs[is_first], runs[~is_first] = first, second
    return runs


def _rasterize(polygons: Sequence[list[float] | Floats], height: int, width: int) -> bytes:
    codes = rle.frPyObjects(polygons, height, width)
    return _to_bytes((codes[0] if len(codes) == 1 else rle.merge(codes))["counts"])


def _to_bytes(counts: str | bytes) -> bytes:
    return counts.encode() if isinstance(counts, str) else counts
