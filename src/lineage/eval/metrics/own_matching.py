"""Metrics that our own matching scores: Boundary AP, whose overlap no engine offers, and LRP, which needs overlaps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import hotcoco
import numpy as np

from lineage.eval.metrics import lrp, matching
from lineage.eval.metrics.boundary import boundaries_of_images
from lineage.eval.metrics.matching import Annotations, Floats, Ints, MatchedDetections, Overlap
from lineage.eval.scores import Scores, class_names

Record = dict[str, Any]


def score_boundary(truth: hotcoco.COCO, results: hotcoco.COCO) -> Scores:
    """Return boundary/AP and COCO's other 11 metrics."""
    metrics, per_class = matching.summarize(match(truth, results, "boundary"))
    classes = {
        name: {"boundary/AP": ap, "boundary/AP50": ap50}
        for name, (ap, ap50) in zip(names_in_order(truth), per_class, strict=True)
    }
    return Scores({f"boundary/{name}": value for name, value in metrics.items()}, classes)


def score_lrp(truth: hotcoco.COCO, results: hotcoco.COCO, task: str) -> Scores:
    """Return <task>/oLRP and its components; for each class also the score threshold that is best for use."""
    errors = [lrp.optimal_lrp(matched) for matched in match(truth, results, task)]
    classes = {
        name: {f"{task}/oLRP": error.total, f"{task}/threshold": error.threshold}
        for name, error in zip(names_in_order(truth), errors, strict=True)
    }
    return Scores(lrp.average(errors, task), classes)


def names_in_order(truth: hotcoco.COCO) -> list[str]:
    """Return the class names in the order of their category ids."""
    return [*class_names([truth.cats[number] for number in sorted(truth.cats)]).values()]


def match(truth: hotcoco.COCO, results: hotcoco.COCO, task: str) -> list[MatchedDetections]:
    """Match the detections of each class by the overlap of boxes, masks, or masks and boundaries."""
    objects = [one for one in truth.dataset["annotations"] if task == "box" or one.get("segmentation")]
    detections = results.dataset["annotations"]
    images, category_ids = np.array(sorted(truth.imgs)), np.array(sorted(truth.cats))
    sides = (columns_of(detections, images, category_ids), columns_of(objects, images, category_ids))
    if task == "box":
        overlap = box_overlap(detections, objects, sides[1])
    else:
        masks = ([results.ann_to_rle(one) for one in detections], [truth.ann_to_rle(one) for one in objects])
        overlap = mask_overlap(masks, sides, with_boundaries=task == "boundary")
    return [*matching.match_classes(*sides, len(category_ids), overlap)]


def columns_of(records: Sequence[Record], images: Ints, category_ids: Ints) -> Annotations:
    """Return annotations as columns; `images` and `category_ids` are sorted."""
    return Annotations(
        image=np.searchsorted(images, [record["image_id"] for record in records]),
        label=np.searchsorted(category_ids, [record["category_id"] for record in records]),
        area=np.array([record["area"] for record in records], np.float64),
        score=np.array([record.get("score", 0) for record in records], np.float64),
        is_crowd=np.array([record.get("iscrowd", 0) for record in records], bool),
    )


def box_overlap(detections: Sequence[Record], objects: Sequence[Record], columns: Annotations) -> Overlap:
    """Return the overlap of boxes; with a crowd, the intersection over the detection's area."""
    boxes, object_boxes = (
        np.array([record["bbox"] for record in records], np.float64).reshape(-1, 4) for records in (detections, objects)
    )

    def overlap(rows: Ints, others: Ints) -> Floats:
        return hotcoco.primitives.bbox_iou(boxes[rows], object_boxes[others], columns.is_crowd[others])

    return overlap


def mask_overlap(
    masks: tuple[list[Record], list[Record]], sides: tuple[Annotations, Annotations], with_boundaries: bool
) -> Overlap:
    """Return the overlap of masks; with boundaries, the smaller of mask IoU and boundary IoU.

    masks: RLE of detections and of objects; sides: their columns.
    """
    pairs = [masks]
    if with_boundaries:
        edges = [boundaries_of_images(rles, side.image) for rles, side in zip(masks, sides, strict=True)]
        pairs.append((edges[0], edges[1]))

    def overlap(rows: Ints, others: Ints) -> Floats:
        is_crowd = sides[1].is_crowd[others]
        ious = [
            hotcoco.primitives.mask_iou([first[row] for row in rows], [second[other] for other in others], is_crowd)
            for first, second in pairs
        ]
        return np.minimum.reduce(ious)

    return overlap
