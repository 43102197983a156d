"""A scene in COCO's panoptic format, without files: a map of segment ids, and the category of each segment."""

from __future__ import annotations

from typing import Any

import numpy as np

from lineage.data.shapes.materials import CATEGORY
from lineage.data.shapes.scene import Layout, label_pixels, read_labels
from lineage.structures import UNLABELLED

STUFF = 1000  # segment ids from here on are areas of the ground


def make_panoptic_annotation(image: int, layout: Layout, areas: np.ndarray) -> dict[str, Any]:
    """Return the annotation of one image; `ids` [h, w] uint16 stands for its PNG, 0 where nothing is labelled."""
    ids = STUFF + label_pixels(areas, layout.painted).astype(np.int64)
    ids[ids == STUFF + UNLABELLED] = 0
    info = []
    for number, (mask, label, crowd) in enumerate(zip(layout.masks, *read_labels(layout), strict=True), 1):
        ids[mask] = number
        info.append(make_segment_info(number, int(label) + 1, mask, crowd=bool(crowd)))
    for number in np.unique(ids[ids > STUFF]).tolist():
        info.append(make_segment_info(number, CATEGORY + number - STUFF, ids == number, crowd=False))
    ids[ids == STUFF] = 0  # what a piece covers beyond its visible mask, at most a rounding
    return {"image_id": image, "ids": ids.astype(np.uint16), "segments_info": info}


def make_segment_info(number: int, category: int, mask: np.ndarray, *, crowd: bool) -> dict[str, Any]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = [int(columns[0]), int(rows[0]), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1]
    return {"id": number, "category_id": category, "iscrowd": int(crowd), "area": int(mask.sum()), "bbox": box}
