"""What only our own matching can score: Boundary AP, whose overlap no engine offers, and LRP, which needs overlaps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import hotcoco
import numpy as np
from numpy.typing import NDArray

from lineage.eval.metrics.boundary import of_images
from lineage.eval.metrics.lrp import average, error
from lineage.eval.metrics.matching import Floats, Ints, Overlap, Ranked, Things, ranked, summary

Record = dict[str, Any]
Numbers = tuple[dict[str, float], dict[str, dict[str, float]]]  # metric -> percent, and the same of each class


def boundary(truth: hotcoco.COCO, found: hotcoco.COCO) -> Numbers:
    """boundary/AP and COCO's other 11 numbers."""
    values, each = summary(rank(truth, found, "boundary"))
    pairs = zip(names(truth), each, strict=True)
    classes = {name: {"boundary/AP": whole, "boundary/AP50": half} for name, (whole, half) in pairs}
    return {f"boundary/{name}": value for name, value in values.items()}, classes


def lrp(truth: hotcoco.COCO, found: hotcoco.COCO, task: str) -> Numbers:
    """<task>/oLRP and its parts; of each class also the score threshold that is best for use."""
    errors = [error(one) for one in rank(truth, found, task)]
    classes = {
        name: {f"{task}/oLRP": one.total, f"{task}/threshold": one.threshold}
        for name, one in zip(names(truth), errors, strict=True)
    }
    return average(errors, task), classes


def names(truth: hotcoco.COCO) -> list[str]:
    """In the order of the category ids."""
    return [truth.cats[number]["name"] for number in sorted(truth.cats)]


def rank(truth: hotcoco.COCO, found: hotcoco.COCO, task: str) -> list[Ranked]:
    """The detections of each class, matched by the overlap of boxes, masks, or masks and boundaries."""
    objects = [note for note in truth.dataset["annotations"] if task == "box" or note.get("segmentation")]
    detections = found.dataset["annotations"]
    images, numbers = np.array(sorted(truth.imgs)), np.array(sorted(truth.cats))
    sides = (things(detections, images, numbers, "score"), things(objects, images, numbers, "iscrowd"))
    if task == "box":
        overlap = boxes(detections, objects, sides[1].score > 0)
    else:
        masks = ([found.ann_to_rle(one) for one in detections], [truth.ann_to_rle(one) for one in objects])
        overlap = outlines(masks, sides, edges=task == "boundary")
    return [*ranked(*sides, len(numbers), overlap)]


def things(notes: Sequence[Record], images: Ints, numbers: Ints, score: str) -> Things:
    return Things(
        image=np.searchsorted(images, [note["image_id"] for note in notes]),
        label=np.searchsorted(numbers, [note["category_id"] for note in notes]),
        area=np.array([note["area"] for note in notes], np.float64),
        score=np.array([note.get(score, 0) for note in notes], np.float64),
    )


def boxes(detections: Sequence[Record], objects: Sequence[Record], crowd: NDArray[np.bool_]) -> Overlap:
    first, second = (
        np.array([one["bbox"] for one in some], np.float64).reshape(-1, 4) for some in (detections, objects)
    )

    def overlap(rows: Ints, others: Ints) -> Floats:
        return hotcoco.primitives.bbox_iou(first[rows], second[others], crowd[others])

    return overlap


def outlines(masks: tuple[list[Record], list[Record]], sides: tuple[Things, Things], edges: bool) -> Overlap:
    crowd = sides[1].score > 0
    pairs = [masks]
    if edges:
        pairs.append((of_images(masks[0], sides[0].image), of_images(masks[1], sides[1].image)))

    def overlap(rows: Ints, others: Ints) -> Floats:
        found, known = rows.tolist(), others.tolist()
        return np.minimum.reduce([
            hotcoco.primitives.mask_iou([first[row] for row in found], [second[row] for row in known], crowd[others])
            for first, second in pairs
        ])  # fmt: skip

    return overlap
