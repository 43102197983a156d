"""A drawn scene as COCO's panoptic format has it, without files: a map of segment ids, and what each of them is."""

from __future__ import annotations

from typing import Any

import numpy as np

from lineage.data.shapes.materials import CATEGORY
from lineage.data.shapes.scene import Layout, labelled, over
from lineage.structures import UNLABELLED

STUFF = 1000  # segment ids from here on are areas of the ground


def panoptic(image: int, plan: Layout, areas: np.ndarray) -> dict[str, Any]:
    """The annotation of one image; `ids` [h, w] uint16 stands for its PNG, 0 where nothing is labelled."""
    ids = STUFF + over(areas, plan.painted).astype(np.int64)
    ids[ids == STUFF + UNLABELLED] = 0
    info = []
    for number, (mask, label, crowd) in enumerate(zip(plan.masks, *labelled(plan), strict=True), 1):
        ids[mask] = number
        info.append(segment(number, int(label) + 1, mask, crowd=bool(crowd)))
    for number in np.unique(ids[ids > STUFF]).tolist():
        info.append(segment(number, CATEGORY + number - STUFF, ids == number, crowd=False))
    ids[ids == STUFF] = 0  # what a piece covers beyond its visible mask, at most a rounding
    return {"image_id": image, "ids": ids.astype(np.uint16), "segments_info": info}


def segment(number: int, category: int, mask: np.ndarray, *, crowd: bool) -> dict[str, Any]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = [int(columns[0]), int(rows[0]), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1]
    return {"id": number, "category_id": category, "iscrowd": int(crowd), "area": int(mask.sum()), "bbox": box}
