"""COCO's matching and its precision curve for any overlap: what boundaries and the localisation error need.

The engine of `eval/engine.py` computes overlaps itself; here they are an argument. The rules are those of pycocotools
2.0.11: detections in the order of their scores take the free object they overlap most (of equal ones the last), one
that counts before one that does not; a crowd is never used up; detections that match an ignored object, or are
unmatched and of another size, are ignored. Tests compare all metrics with pycocotools.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lineage.eval.scores import nan_mean

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Overlap = Callable[[Ints, Ints], Floats]  # rows of detections [D] and of objects [G] -> [D, G]

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
AREAS = {"all": (0, 1e10), "s": (0, 32**2), "m": (32**2, 96**2), "l": (96**2, 1e10)}
AP75 = 5  # row of THRESHOLDS


class Annotations(NamedTuple):
    """Objects or detections, one row each."""

    image: Ints  # [N] index of the image among the sorted ids
    label: Ints  # [N]
    area: Floats  # [N]
    score: Floats  # [N] of detections
    is_crowd: Flags  # [N] of objects


class MatchedDetections(NamedTuple):
    """The n detections of one class over all images, best first, for A areas and T thresholds."""

    scores: Floats  # [n]
    rank: Ints  # [n] among the detections of its image
    is_tp: Flags  # [A, T, n] matched to an object, which may be an ignored one
    ignored: Flags  # [A, T, n] counts neither as right nor as wrong
    iou: Floats  # [n] with its match at the lowest threshold among objects of all sizes, else 0
    num_objects: Ints  # [A] that count
    image: Ints  # [n] index of the image of a detection
    object_images: Ints  # [objects of all sizes that count] index of the image of an object


def match_classes(
    detections: Annotations, objects: Annotations, num_classes: int, overlap: Overlap, limit: int
) -> Iterator[MatchedDetections]:
    """Yield the matches of each class; `limit` is the number of detections that count per image and class."""
    # 1. Group detections by class and image, best first; objects likewise.
    images = int(max(detections.image.max(initial=-1), objects.image.max(initial=-1))) + 1
    key = detections.label * images + detections.image
    order = np.lexsort((-detections.score, key))
    object_order = np.argsort(objects.label * images + objects.image, kind="stable")
    # 2. Keep the best of each group.
    rank = np.arange(len(order)) - np.searchsorted(key[order], key[order])
    order, rank = order[rank < limit], rank[rank < limit]
    # 3. Match class by class.
    for label in range(num_classes):
        span = slice(*np.searchsorted(detections.label[order], [label, label + 1]))
        columns = object_order[slice(*np.searchsorted(objects.label[object_order], [label, label + 1]))]
        yield _match_class(detections, objects, order[span], rank[span], columns, overlap)


def _match_class(
    detections: Annotations, objects: Annotations, rows: Ints, rank: Ints, columns: Ints, overlap: Overlap
) -> MatchedDetections:
    """Match the detections `rows` of one class to its objects `columns`, both in the order of their images.

    Rows of one image are in the order of their scores; `rank` [n] is their position there.
    """
    # 1. Objects that are ignored: crowds, and those of another size.
    bounds = np.array([*AREAS.values()])
    is_crowd = objects.is_crowd[columns]
    ignore = is_crowd | _is_outside(objects.area[columns], bounds)
    # 2. Match in each image that has both.
    is_tp = np.zeros((len(bounds), len(THRESHOLDS), len(rows)), bool)
    ignored = is_tp.copy()
    iou = np.zeros(len(rows))
    row_images, column_images = detections.image[rows], objects.image[columns]
    shared = np.intersect1d(row_images, column_images)
    first, last = (np.searchsorted(row_images, shared, side) for side in ("left", "right"))
    begin, end = (np.searchsorted(column_images, shared, side) for side in ("left", "right"))
    for d1, d2, g1, g2 in zip(first, last, begin, end, strict=True):
        values = overlap(rows[d1:d2], columns[g1:g2])
        match = match_greedily(values, ignore[:, g1:g2], is_crowd[g1:g2])
        is_tp[..., d1:d2] = match >= 0
        ignored[..., d1:d2] = is_tp[..., d1:d2] & np.take_along_axis(ignore[:, None, g1:g2], match, axis=2)
        iou[d1:d2] = np.take_along_axis(values, match[0, 0][:, None], axis=1)[:, 0] * (match[0, 0] >= 0)
    # 3. Unmatched detections of another size are ignored.
    ignored |= ~is_tp & _is_outside(detections.area[rows], bounds)[:, None]
    # 4. Sort by score over all images; among equal scores, images stay in order.
    scores = detections.score[rows]
    order = np.argsort(-scores, kind="stable")
    num_objects = (~ignore).sum(1)
    return MatchedDetections(
        scores[order], rank[order], is_tp[..., order], ignored[..., order], iou[order], num_objects,
        row_images[order], column_images[~ignore[0]],
    )  # fmt: skip


def match_greedily(overlaps: Floats, ignore: Flags, is_crowd: Flags, thresholds: Floats = THRESHOLDS) -> Ints:
    """Return [A, T, D] the column of the object that each detection matches, or -1.

    overlaps: [D, G], detections best first.
    ignore: [A, G] objects that do not count, by area.
    is_crowd: [G] objects that match any number of detections.
    thresholds: [T] least overlaps, rising.
    """
    num_detections, num_objects = overlaps.shape
    threshold = np.minimum(thresholds, 1 - 1e-10)[:, None]
    match = np.full((len(ignore), len(thresholds), num_detections), -1)
    is_free = np.ones((len(ignore), len(thresholds), num_objects), bool)
    for row in np.flatnonzero(overlaps.max(axis=1, initial=0) >= threshold[0]):
        # 1. Objects that are free and near; those that count come first.
        is_near = is_free & (overlaps[row] >= threshold)
        counts = is_near & ~ignore[:, None]
        eligible = np.where(counts.any(2, keepdims=True), counts, is_near)
        # 2. Of these the greatest overlap, the last of equal ones.
        best = num_objects - 1 - np.where(eligible, overlaps[row], -1)[..., ::-1].argmax(2)
        is_matched = eligible.any(2)
        match[..., row] = np.where(is_matched, best, -1)
        # 3. The object is used up, unless it is a crowd.
        is_free &= ~(is_matched[..., None] & (np.arange(num_objects) == best[..., None])) | is_crowd
    return match


def precision_recall(matched: MatchedDetections, area: int, limit: int) -> tuple[Floats, Floats]:
    """Return [T, 101] precision at the recall points and [T] recall, of at most `limit` detections per image."""
    # 1. Accumulate true and false positives.
    within = matched.rank < limit
    is_tp, ignored = matched.is_tp[area][:, within], matched.ignored[area][:, within]
    tp, fp = np.cumsum(is_tp & ~ignored, axis=1), np.cumsum(~is_tp & ~ignored, axis=1)
    recall = tp / matched.num_objects[area]
    # 2. Precision falls monotonically with recall.
    precision = tp / (tp + fp + np.spacing(1))
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    # 3. Sample it at the recall points, 0 beyond the last recall.
    precision = np.concatenate([precision, np.zeros((len(precision), 1))], axis=1)
    index = [np.searchsorted(row, RECALLS, side="left") for row in recall]
    sampled = np.stack([row[columns] for row, columns in zip(precision, index, strict=True)])
    return sampled, recall[:, -1] if recall.shape[1] else np.zeros(len(recall))


def summarize(
    classes: list[MatchedDetections], limits: Sequence[int]
) -> tuple[dict[str, float], list[tuple[float, float]]]:
    """Return COCO's 12 metrics in percent, and (AP, AP50) of each class; NaN where nothing can be measured.

    `limits` are the numbers of detections per image and class of AR1, AR10, AR100; AP is at the last one.
    """
    precisions, recalls = {}, {}
    for area in range(len(AREAS)):
        for limit in limits:
            curves = [precision_recall(matched, area, limit) for matched in classes if matched.num_objects[area]]
            precisions[area, limit] = [p for p, _ in curves]
            recalls[area, limit] = [r for _, r in curves]
    whole = precisions[0, limits[-1]]
    metrics = {"AP": whole, "AP50": [p[0] for p in whole], "AP75": [p[AP75] for p in whole]}
    metrics |= {f"AP{name}": precisions[area, limits[-1]] for area, name in enumerate(AREAS) if area}
    metrics |= {f"AR{limit}": recalls[0, limit] for limit in limits}
    metrics |= {f"AR{name}": recalls[area, limits[-1]] for area, name in enumerate(AREAS) if area}
    measured = iter(whole)
    per_class = [next(measured) if matched.num_objects[0] else np.zeros((1, 0)) for matched in classes]
    means = {name: 100 * nan_mean(values) for name, values in metrics.items()}
    return means, [(100 * nan_mean(p), 100 * nan_mean(p[0])) for p in per_class]


def _is_outside(area: Floats, bounds: Floats) -> Flags:
    """Return [A, N] a mask of the areas outside each of the [A, 2] bounds."""
    return (area < bounds[:, :1]) | (area > bounds[:, 1:])
