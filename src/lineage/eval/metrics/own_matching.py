"""Metrics that our own matching scores: Boundary AP, whose overlap no engine offers, and LRP, which needs overlaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import hotcoco
import numpy as np

from lineage.eval.metrics import lrp, matching
from lineage.eval.metrics.boundary import boundaries_of_images
from lineage.eval.metrics.matching import Annotations, Flags, Floats, Ints, MatchedDetections, Overlap
from lineage.eval.metrics.tide import tide_costs
from lineage.eval.scores import Scores, class_names

Record = dict[str, Any]


def score_boundary(truth: hotcoco.COCO, results: hotcoco.COCO, limits: Sequence[int]) -> Scores:
    """Return boundary/AP and COCO's other 11 metrics; `limits` are detections per image and class."""
    metrics, per_class = matching.summarize(match(truth, results, "boundary", limits[-1]), limits)
    classes = {
        name: {"boundary/AP": ap, "boundary/AP50": ap50}
        for name, (ap, ap50) in zip(names_in_order(truth), per_class, strict=True)
    }
    return Scores({f"boundary/{name}": value for name, value in metrics.items()}, classes)


def score_lrp(truth: hotcoco.COCO, results: hotcoco.COCO, task: str, limit: int) -> Scores:
    """Return <task>/oLRP and its components; for each class also the score threshold that is best for use."""
    errors = [lrp.optimal_lrp(matched) for matched in match(truth, results, task, limit)]
    classes = {
        name: {f"{task}/oLRP": error.total, f"{task}/threshold": error.threshold}
        for name, error in zip(names_in_order(truth), errors, strict=True)
    }
    return Scores(lrp.average(errors, task), classes)


def score_tide(truth: hotcoco.COCO, results: hotcoco.COCO, task: str, limit: int) -> Scores:
    """Return <task>/dAP_<kind> in points of AP50; images are in the order of the document, as tidecv has them."""
    detections, objects, overlap = columns_and_overlap(
        truth, results, task, [image["id"] for image in truth.dataset["images"]]
    )
    costs = tide_costs(detections, objects, overlap, limit)
    return Scores({f"{task}/dAP_{name}": cost for name, cost in costs.items()}, {})


def names_in_order(truth: hotcoco.COCO) -> list[str]:
    """Return the class names in the order of their category ids."""
    return [*class_names([truth.cats[number] for number in sorted(truth.cats)]).values()]


def match(truth: hotcoco.COCO, results: hotcoco.COCO, task: str, limit: int) -> list[MatchedDetections]:
    """Match the detections of each class, at most `limit` per image, by the overlap of a task."""
    detections, objects, overlap = columns_and_overlap(truth, results, task, sorted(truth.imgs))
    return [*matching.match_classes(detections, objects, len(truth.cats), overlap, limit)]


def columns_and_overlap(
    truth: hotcoco.COCO, results: hotcoco.COCO, task: str, images: Sequence[int]
) -> tuple[Annotations, Annotations, Overlap]:
    """Return detections, objects and the overlap of boxes, masks, or masks and boundaries.

    images: their ids, in the order of `Annotations.image`.
    """
    records, object_records = results.dataset["annotations"], truth.dataset["annotations"]
    image_index = {image: index for index, image in enumerate(images)}
    label_of = {category: label for label, category in enumerate(sorted(truth.cats))}
    detections, objects = (columns_of(side, image_index, label_of) for side in (records, object_records))
    if task == "box":
        return detections, objects, box_overlap(records, object_records, objects)
    masks = (
        [results.ann_to_rle(record) for record in records],
        [truth.ann_to_rle(record) for record in object_records],
    )
    return detections, objects, mask_overlap(masks, (detections, objects), with_boundaries=task == "boundary")


def columns_of(records: Sequence[Record], image_index: Mapping[int, int], label_of: Mapping[int, int]) -> Annotations:
    """Return annotations as columns."""
    return Annotations(
        image=np.array([image_index[record["image_id"]] for record in records], np.int64),
        label=np.array([label_of[record["category_id"]] for record in records], np.int64),
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
    """Return the overlap of masks; with boundaries, the smaller of mask IoU and boundary IoU, but of crowds mask IoU.

    masks: RLE of detections and of objects; sides: their columns.
    """
    edges: list[list[Record]] = []
    if with_boundaries:
        edges = [boundaries_of_images(rles, side.image) for rles, side in zip(masks, sides, strict=True)]

    def overlap(rows: Ints, others: Ints) -> Floats:
        is_crowd = sides[1].is_crowd[others]
        iou = _mask_iou(masks, rows, others, is_crowd)
        if with_boundaries:
            iou = np.where(is_crowd, iou, np.minimum(iou, _mask_iou(edges, rows, others, is_crowd)))
        return iou

    return overlap


def _mask_iou(sides: Sequence[list[Record]], rows: Ints, others: Ints, is_crowd: Flags) -> Floats:
    first, second = [sides[0][row] for row in rows], [sides[1][other] for other in others]
    return np.asarray(hotcoco.primitives.mask_iou(first, second, is_crowd))
