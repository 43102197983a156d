"""PASCAL VOC's evaluation (Everingham et al., IJCV 2010, section 4; the development kit's VOCevaldet).

Each detection, best first, is compared with the object of its class that it overlaps most in its image: at IoU 0.5 or
more it is right if no detection matched the object before, wrong if one did, and does not count if the object is
`difficult`. Overlap is of continuous boxes, which is the kit's of integer corners with +1: pixel i covers [i, i + 1).
Until 2009 AP is the mean of the best precision at 11 recalls (mAP07), since then the area under the curve (mAP).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import hotcoco
import numpy as np
from numpy.typing import NDArray

from lineage.eval.document import CocoDataset
from lineage.eval.notes import empty_notes
from lineage.eval.predictions.predictions import Predictions
from lineage.eval.scored_document import box_of
from lineage.eval.scores import NAN, Scores, class_names, nan_mean

IOU_THRESH = 0.5
RECALLS = np.arange(0, 1.1, 0.1)  # with its rounding: at recall 3/10 the fourth, 0.30000000000000004, is not reached

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Boxes(NamedTuple):
    """Detections or objects, one row each."""

    image: Ints  # [N] ids
    category: Ints  # [N] ids
    box: Floats  # [N, 4] x, y, width, height
    score: Floats  # [N] of detections
    difficult: NDArray[np.bool_]  # [N] of objects


class VocScorer:
    """Scorer of voc/mAP07 and voc/mAP. An object is difficult if its annotation has `difficult`, or else `iscrowd`."""

    name = "voc"
    supported = defaults = tasks = ("box",)
    extra_names = ()

    def __init__(self, *, dataset: CocoDataset, iou_thresh: float = IOU_THRESH) -> None:
        document = dataset.ground_truth()
        self.iou_thresh = iou_thresh
        self.names = class_names(document["categories"])
        self.objects = objects_of(document)
        self.notes = empty_notes(document)
        self.images = [image["id"] for image in document["images"]]
        self.category_ids = np.array(dataset.meta.category_ids, np.int64)

    @property
    def protocol(self) -> dict[str, Any]:
        box = {"iou_thresholds": [self.iou_thresh], "recall_points": [11, "area"]}
        return {"name": self.name, "engine": "lineage", "tasks": {"box": box}}

    def score(self, predictions: Predictions, task: str) -> Scores:
        """Score boxes. Among equal scores the earlier detection ranks first: by image id in training."""
        detections = Boxes(
            image=predictions.image_ids(),
            category=self.category_ids[predictions.labels],
            box=predictions.boxes,
            score=predictions.scores,
            difficult=np.zeros(len(predictions.scores), bool),
        )
        scores = score_voc(detections, self.objects, self.names, self.iou_thresh)
        return scores._replace(notes=self.notes)


def objects_of(document: Mapping[str, Any]) -> Boxes:
    """Return the objects of a ground truth."""
    annotations: Sequence[Mapping[str, Any]] = document["annotations"]
    return Boxes(
        image=np.array([annotation["image_id"] for annotation in annotations], np.int64),
        category=np.array([annotation["category_id"] for annotation in annotations], np.int64),
        box=np.array([box_of(annotation) for annotation in annotations], np.float64).reshape(-1, 4),
        score=np.zeros(len(annotations)),
        difficult=np.array([is_difficult(annotation) for annotation in annotations], bool),
    )


def is_difficult(annotation: Mapping[str, Any]) -> bool:
    difficult = annotation.get("difficult")
    return bool(annotation.get("iscrowd") if difficult is None else difficult)


def score_voc(detections: Boxes, objects: Boxes, names: Mapping[int, str], iou_thresh: float = IOU_THRESH) -> Scores:
    """Return AP in percent; the mean is over the classes that have an object which is not difficult."""
    per_class: dict[str, dict[str, float]] = {}
    for category, name in names.items():
        rows = np.flatnonzero(detections.category == category)
        columns = np.flatnonzero(objects.category == category)
        recall, precision = precision_recall(detections, objects, rows, columns, iou_thresh)
        values = {"voc/AP07": eleven_point_ap(recall, precision), "voc/AP": area_under_curve(recall, precision)}
        has_objects = (~objects.difficult[columns]).any()
        per_class[name] = {key: 100 * value if has_objects else NAN for key, value in values.items()}
    means = {f"voc/m{key[4:]}": nan_mean([values[key] for values in per_class.values()])
             for key in ("voc/AP", "voc/AP07")}  # fmt: skip
    return Scores(means, per_class)


def precision_recall(
    detections: Boxes, objects: Boxes, rows: Ints, columns: Ints, iou_thresh: float
) -> tuple[Floats, Floats]:
    """Return recall and precision after each detection that counts, best first.

    `rows` are the detections of one class, `columns` its objects.
    """
    # 1. Sort detections by score and find the object that each overlaps most.
    rows = rows[np.argsort(-detections.score[rows], kind="stable")]
    iou, nearest = nearest_objects(detections, objects, rows, columns)
    # 2. The first detection near an object is right; those near a difficult object do not count.
    is_near = iou >= iou_thresh
    is_first = np.zeros(len(rows), bool)
    is_first[np.flatnonzero(is_near)[np.unique(nearest[is_near], return_index=True)[1]]] = True
    is_difficult = np.append(objects.difficult[columns], False)[nearest]
    counts = ~(is_near & is_difficult)
    # 3. Accumulate.
    is_tp = (is_near & is_first)[counts]
    tp, fp = np.cumsum(is_tp), np.cumsum(~is_tp)
    num_objects = int((~objects.difficult[columns]).sum())
    return tp / max(1, num_objects), tp / np.maximum(tp + fp, 1)


def nearest_objects(detections: Boxes, objects: Boxes, rows: Ints, columns: Ints) -> tuple[Floats, Ints]:
    """Return for each detection its greatest IoU in its image, and the position among `columns`: the first, or -1."""
    iou, nearest = np.full(len(rows), -1.0), np.full(len(rows), -1)
    row_order, column_order = (
        np.argsort(ids, kind="stable") for ids in (detections.image[rows], objects.image[columns])
    )
    row_images, column_images = detections.image[rows][row_order], objects.image[columns][column_order]
    for image in np.intersect1d(row_images, column_images):
        mine = row_order[slice(*np.searchsorted(row_images, [image, image + 1]))]
        its = column_order[slice(*np.searchsorted(column_images, [image, image + 1]))]
        boxes, targets = detections.box[rows[mine]], objects.box[columns[its]]
        ious = hotcoco.primitives.bbox_iou(boxes, targets, np.zeros(len(its), bool))
        iou[mine], nearest[mine] = ious.max(1), its[ious.argmax(1)]
    return iou, nearest


def eleven_point_ap(recall: Floats, precision: Floats) -> float:
    """Return the mean over recalls 0, 0.1, ... 1 of the best precision from there on."""
    envelope = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0)
    return float(envelope[np.searchsorted(recall, RECALLS)].mean())


def area_under_curve(recall: Floats, precision: Floats) -> float:
    """Return the area under the precision envelope, which falls monotonically."""
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall, prepend=0) * envelope).sum())
