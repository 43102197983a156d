"""Overlaps of detections and objects, computed once, and the matches that scores make of them.

A calibration changes scores alone, and with them which detection takes an object first: it is matched again, with the
same overlaps. The rules are those of COCO or LVIS, at the thresholds of all measures together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from lineage.calibration.object_error import LEAST_IOUS, Cover
from lineage.eval.engine import load_documents, load_predictions
from lineage.eval.metrics.matching import AREAS, THRESHOLDS, Annotations, Flags, Floats, Ints, Overlap, match_greedily
from lineage.eval.metrics.own_matching import columns_and_overlap
from lineage.eval.predictions.predictions import Predictions
from lineage.eval.protocols.lvis import PER_IMAGE, LvisScorer, areas, best_of_each_group
from lineage.eval.scored_document import FEDERATED_LISTS, coco_documents, lvis_documents

ANY, LOOSE, HALF = 0, 1, 2  # rows of IOUS: any overlap at all; .10; .50, the first of COCO's ten
IOUS = np.array([np.nextafter(0, 1), 0.1, *THRESHOLDS])
PER_CLASS = 100  # detections of an image and class that count, as COCO has it


class Group(NamedTuple):
    """Detections and objects of one class in one image."""

    rows: Ints  # [d] of detections
    columns: Ints  # [g] of objects, may be empty
    overlaps: Floats  # [d, g]
    is_complete: bool  # unmatched detections are wrong; False where LVIS did not annotate all of them


class Overlaps(NamedTuple):
    detections: Annotations  # N, in the order of the predictions
    objects: Annotations
    ignore: Flags  # [G] objects that do not count
    groups: list[Group]
    per_image: int | None  # detections that count per image; None: PER_CLASS of each class
    cover: Cover  # pairs of any classes


class Matches(NamedTuple):
    """The n detections that count, each class by itself and best first, at T = len(IOUS) thresholds."""

    row: Ints  # [n] of the predictions
    score: Floats  # [n]
    label: Ints  # [n]
    image: Ints  # [n] index among the sorted ids
    is_tp: Flags  # [T, n] matched, perhaps to an ignored object
    ignored: Flags  # [T, n] counts neither as right nor as wrong
    iou: Floats  # [T, n] with the match, else 0
    object_label: Ints  # [objects that count]
    object_image: Ints  # [objects that count]


def compute_overlaps(
    document: Mapping[str, Any], predictions: Predictions, category_ids: Ints, task: str, protocol: str
) -> Overlaps:
    """Return the overlaps of boxes or masks; `protocol` is coco or lvis."""
    is_lvis = protocol == LvisScorer.name
    content = (lvis_documents if is_lvis else coco_documents)(document, [task])[task]
    truth = load_documents({task: content})[task]
    results = load_predictions(truth, predictions, category_ids, task)
    images = sorted(image["id"] for image in content["images"])
    detections, objects, overlap = columns_and_overlap(truth, results, task, images)
    low, high = AREAS["all"]
    ignore = objects.is_crowd | (objects.area < low) | (objects.area > high)
    counts = areas(predictions, task) > 0 if is_lvis else np.ones(len(detections.score), bool)
    groups = []
    for rows, columns in _pair(detections, objects, counts):
        values = overlap(rows, columns) if len(columns) else np.zeros((len(rows), 0))
        groups.append(Group(rows, columns, values, is_complete=True))
    if is_lvis:
        groups = [*_keep_annotated(groups, detections, objects, content, images)]
    cover = _cover(detections, objects, ~ignore, overlap)
    return Overlaps(detections, objects, ignore, groups, PER_IMAGE if is_lvis else None, cover)


def _cover(detections: Annotations, objects: Annotations, counts: Flags, overlap: Overlap) -> Cover:
    """Return the pairs of an object that counts and a detection, of any classes, that overlap."""
    columns = np.flatnonzero(counts)
    columns = columns[np.argsort(objects.image[columns], kind="stable")]
    rows = np.argsort(detections.image, kind="stable")
    parts = []
    for image in np.intersect1d(objects.image[columns], detections.image):
        first, last = np.searchsorted(objects.image[columns], [image, image + 1])
        near = rows[slice(*np.searchsorted(detections.image[rows], [image, image + 1]))]
        values = overlap(near, columns[first:last])
        row, column = np.nonzero(values >= LEAST_IOUS[0])
        parts.append((column + first, near[row], values[row, column]))
    none = np.zeros(0, np.int64)
    return Cover(
        np.concatenate([none, *(part[0] for part in parts)]),
        np.concatenate([none, *(part[1] for part in parts)]),
        np.concatenate([np.zeros(0), *(part[2] for part in parts)]),
        objects.label[columns],
        objects.image[columns],
    )


def _pair(detections: Annotations, objects: Annotations, counts: Flags) -> Iterator[tuple[Ints, Ints]]:
    """Yield the detections of each class and image, and the objects of it."""
    images = int(max(detections.image.max(initial=0), objects.image.max(initial=0))) + 1
    keys, object_keys = (side.label * images + side.image for side in (detections, objects))
    rows = np.flatnonzero(counts)
    columns = np.argsort(object_keys, kind="stable")
    rows = rows[np.argsort(keys[rows], kind="stable")]
    present, first = np.unique(keys[rows], return_index=True)
    begin, end = (np.searchsorted(object_keys[columns], present, side) for side in ("left", "right"))
    last = np.append(first, len(rows))[1:]  # of no detection none
    for d1, d2, g1, g2 in np.stack([first, last, begin, end], axis=1).tolist():
        yield rows[d1:d2], columns[g1:g2]


def _keep_annotated(
    groups: list[Group], detections: Annotations, objects: Annotations, content: Mapping[str, Any], images: list[int]
) -> Iterator[Group]:
    """Yield LVIS's groups of a class that is annotated in the image, or verified absent from it."""
    labels = {number: label for label, number in enumerate(sorted(item["id"] for item in content["categories"]))}
    index = {image: position for position, image in enumerate(images)}
    absent, incomplete = (
        {(index[image["id"]], labels[number]) for image in content["images"] for number in image[name]}
        for name in FEDERATED_LISTS
    )
    annotated = {*zip(objects.image.tolist(), objects.label.tolist(), strict=True)} | absent
    for group in groups:
        key = int(detections.image[group.rows[0]]), int(detections.label[group.rows[0]])
        if key in annotated:
            yield group._replace(is_complete=key not in incomplete)


def match(overlaps: Overlaps, scores: Floats) -> Matches:
    """Match all detections in the order of `scores` [N]."""
    detections, objects = overlaps.detections, overlaps.objects
    within = None
    if overlaps.per_image is not None:
        within = np.zeros(len(scores), bool)
        within[best_of_each_group(scores, detections.image, overlaps.per_image)] = True
    parts = []
    for group in overlaps.groups:
        # 1. The best detections of the group, among equal ones the earlier.
        order = np.argsort(-scores[group.rows], kind="stable")
        order = order[:PER_CLASS] if within is None else order[within[group.rows[order]]]
        # 2. Match them.
        is_tp, ignored, iou = _match_group(group, order, overlaps.ignore[group.columns], objects.is_crowd)
        parts.append((group.rows[order], is_tp, ignored, iou))
    empty = np.zeros((len(IOUS), 0))
    row = np.concatenate([np.zeros(0, np.int64), *(part[0] for part in parts)])
    is_tp, ignored = (np.concatenate([empty.astype(bool), *(part[i] for part in parts)], axis=1) for i in (1, 2))
    iou = np.concatenate([empty, *(part[3] for part in parts)], axis=1)
    # 3. Each class by itself, best first; among equal ones images stay in order.
    order = np.lexsort((-scores[row], detections.label[row]))
    row, counts = row[order], ~overlaps.ignore
    return Matches(
        row, scores[row], detections.label[row], detections.image[row], is_tp[:, order], ignored[:, order],
        iou[:, order], objects.label[counts], objects.image[counts],
    )  # fmt: skip


def _match_group(group: Group, order: Ints, ignore: Flags, is_crowd: Flags) -> tuple[Flags, Flags, Floats]:
    """Return [T, d] the matched, the ignored, and the IoU with the match."""
    shape = (len(IOUS), len(order))
    if not len(group.columns):
        return np.zeros(shape, bool), np.full(shape, not group.is_complete), np.zeros(shape)
    values = group.overlaps[order]
    column = match_greedily(values, ignore[None], is_crowd[group.columns], IOUS)[0]
    is_tp = column >= 0
    ignored = is_tp & ignore[column] | ~is_tp & (not group.is_complete)
    iou = np.take_along_axis(values, column.T, axis=1).T * is_tp
    return is_tp, ignored, iou
