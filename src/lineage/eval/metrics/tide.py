"""TIDE (Bolya et al., arXiv:2008.08115, section 3): how much AP each kind of error costs at IoU 0.5.

A false positive is one of: right class and loose (IoU 0.1 to 0.5); right location and wrong class; a duplicate of an
object that is matched already; background (IoU below 0.1 with all objects); both wrong class and loose. An object that
no loose or wrongly classified detection explains is missed. The cost of a kind is how much the AP rises when an oracle
repairs it alone. All rules, ties included, are those of tidecv 1.0.1, with two consequences: the AP it starts from
counts a class with detections and without objects as 0, and repairing missed objects removes a class that has no
detections from the mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lineage.eval.metrics.matching import Annotations, Flags, Floats, Ints, Overlap

MATCH_IOU = 0.5
BACKGROUND_IOU = 0.1  # a detection that overlaps every object by less is background
RECALLS = np.arange(101) / 100

CORRECT = ""
LOCALISATION, CLASS, DUPLICATE, BACKGROUND, BOTH = "localisation", "class", "duplicate", "background", "both"
MISSED = "missed"
KINDS = (CLASS, LOCALISATION, BOTH, DUPLICATE, BACKGROUND, MISSED)
FALSE_POSITIVES, FALSE_NEGATIVES = "false_positives", "false_negatives"
COSTS = (*KINDS, FALSE_POSITIVES, FALSE_NEGATIVES)


class Points(NamedTuple):
    """Points of the precision curves of all classes, in the order that decides between equal scores."""

    label: Ints  # [n]
    score: Floats  # [n]
    is_tp: Flags  # [n]

    def take(self, rows: Ints) -> Points:
        return Points(self.label[rows], self.score[rows], self.is_tp[rows])


class ImageErrors(NamedTuple):
    """Errors of one image: D detections, best first, and G objects that are not crowds."""

    detections: Ints  # [D] rows
    objects: Ints  # [G] rows
    target: Ints  # [D] row of the object that a loose or wrongly classified detection would match, else -1
    kinds: list[str]  # [D] CORRECT or one of KINDS
    ignored: Flags  # [D] inside a crowd, so no false positive
    is_found: Flags  # [G] matched


def classify_image(
    detections: Annotations, objects: Annotations, rows: Ints, columns: Ints, overlap: Overlap
) -> ImageErrors:
    """Classify the detections `rows` of an image, best first, by its objects `columns`."""
    # 1. Overlaps with objects of the same class, of other classes, and with crowds of the same class.
    iou = overlap(rows, columns) if len(rows) and len(columns) else np.zeros((len(rows), len(columns)))
    same = detections.label[rows][:, None] == objects.label[columns]
    is_crowd = objects.is_crowd[columns]
    in_crowd = (iou * same)[:, is_crowd].max(1, initial=0) > MATCH_IOU
    iou, same, columns = iou[:, ~is_crowd], same[:, ~is_crowd], columns[~is_crowd]
    # 2. Each detection takes the object of its class that it overlaps most, if no better one has.
    remaining, match = iou * same, np.full(len(rows), -1)
    for row in range(len(rows) if len(columns) else 0):
        best = int(remaining[row].argmax())
        if remaining[row, best] >= MATCH_IOU:
            match[row] = best
            remaining[:, best] = 0
    is_found = np.isin(np.arange(len(columns)), match)
    # 3. The others are errors; the first kind that fits.
    kinds = [CORRECT] * len(rows)
    target = np.full(len(rows), -1)
    for row in np.flatnonzero(match < 0).tolist():
        kinds[row], nearest = _classify(iou[row], same[row], is_found)
        target[row] = columns[nearest] if nearest is not None and not is_found[nearest] else -1
    return ImageErrors(rows, columns, target, kinds, in_crowd & (match < 0), is_found)


def _classify(iou: Floats, same: Flags, is_found: Flags) -> tuple[str, int | None]:
    """Return the kind of an error and the index of the object that it would match when repaired.

    iou, same [G]: overlap with each object and whether it has the detection's class.
    is_found [G]: objects that a detection matches.
    """
    if not len(iou):
        return BACKGROUND, None
    of_class, of_others = iou * same, iou * ~same
    if BACKGROUND_IOU <= of_class.max() <= MATCH_IOU:
        return LOCALISATION, int(of_class.argmax())
    if of_others.max() >= MATCH_IOU:
        return CLASS, int(of_others.argmax())
    if (of_class * is_found).max() >= MATCH_IOU:
        return DUPLICATE, None
    return (BACKGROUND if iou.max() <= BACKGROUND_IOU else BOTH), None


def tide_costs(detections: Annotations, objects: Annotations, overlap: Overlap, limit: int) -> dict[str, float]:
    """Return the points of AP50 that each kind of error costs, and all false positives and all false negatives.

    detections, objects: `image` is the position of an image in the ground truth.
    limit: detections that count per image.
    """
    errors = collect_errors(detections, objects, overlap, limit)
    num_objects = np.bincount(errors.object_label, minlength=errors.num_classes)
    counts = ~errors.ignored | ~errors.is_error
    base = mean_ap(errors.points().take(np.flatnonzero(counts)), num_objects)
    costs = {}
    # 1. Each kind repaired alone.
    for kind in KINDS:
        points = errors.repair(kind)
        is_missed = errors.is_missed & (kind == MISSED)
        missed = np.bincount(errors.object_label[is_missed], minlength=errors.num_classes)
        costs[kind] = max(mean_ap(points, num_objects - missed) - base, 0.0)
    # 2. All of one side repaired: false positives go last, unmatched objects vanish.
    rows = errors.in_order(counts)
    last = errors.points()._replace(score=(~errors.is_error).astype(np.float64))
    costs[FALSE_POSITIVES] = mean_ap(last.take(rows), num_objects) - base
    num_found = np.bincount(errors.object_label[errors.is_found], minlength=errors.num_classes)
    costs[FALSE_NEGATIVES] = mean_ap(errors.points().take(rows), num_found) - base
    return costs


class Errors(NamedTuple):
    """Errors of all images: N detections and G objects that are not crowds."""

    label: Ints  # [N]
    score: Floats  # [N]
    kind: NDArray[np.object_]  # [N] CORRECT or one of KINDS
    ignored: Flags  # [N] no false positive, because a crowd covers it
    is_repairable: Flags  # [N] the best of the loose or wrongly classified detections of an object
    target_label: Ints  # [N] class of that object
    object_label: Ints  # [G]
    is_found: Flags  # [G] matched
    is_missed: Flags  # [G] neither matched nor explained by a loose or wrongly classified detection
    num_classes: int

    @property
    def is_error(self) -> Flags:
        return np.asarray(self.kind != CORRECT, bool)

    def points(self) -> Points:
        return Points(self.label, self.score, ~self.is_error)

    def in_order(self, remains: Flags) -> Ints:
        """Return the rows that remain after a repair: among equal scores, errors rank first."""
        return np.concatenate([np.flatnonzero(self.is_error & remains), np.flatnonzero(~self.is_error & remains)])

    def repair(self, kind: str) -> Points:
        """Return the points after the repair of one kind: the best detection of an object is right, others vanish."""
        is_kind = np.asarray(self.kind == kind, bool)
        is_repaired = is_kind & self.is_repairable
        label = np.where(is_repaired, self.target_label, self.label)
        remains = np.where(is_kind, is_repaired, ~self.ignored | ~self.is_error)
        return Points(label, self.score, ~self.is_error | is_repaired).take(self.in_order(remains))


def collect_errors(detections: Annotations, objects: Annotations, overlap: Overlap, limit: int) -> Errors:
    """Classify the errors of all images; of several detections that would match an object, the best is repairable."""
    groups = _group_by_image(detections, objects, limit)
    images = [classify_image(detections, objects, rows, columns, overlap) for rows, columns in groups]
    rows = _join([image.detections for image in images])
    columns = _join([image.objects for image in images])
    target = _join([image.target for image in images])
    is_found = _join([image.is_found for image in images]).astype(bool)
    explained, first = np.unique(target, return_index=True)
    is_repairable = np.zeros(len(rows), bool)
    is_repairable[first[explained >= 0]] = True
    return Errors(
        label=detections.label[rows],
        score=detections.score[rows],
        kind=np.array([kind for image in images for kind in image.kinds], object),
        ignored=_join([image.ignored for image in images]).astype(bool),
        is_repairable=is_repairable,
        target_label=np.where(target >= 0, np.append(objects.label, -1)[target], -1),
        object_label=objects.label[columns],
        is_found=is_found,
        is_missed=~is_found & ~np.isin(columns, explained),
        num_classes=int(max(detections.label.max(initial=-1), objects.label.max(initial=-1))) + 1,
    )


def mean_ap(points: Points, num_objects: Ints) -> float:
    """Return AP in percent, averaged over the classes with points or objects; without objects it is 0."""
    values = []
    for label in np.unique(np.concatenate([points.label, np.flatnonzero(num_objects)])).tolist():
        of_class = points.label == label
        order = np.argsort(-points.score[of_class], kind="stable")
        is_tp = points.is_tp[of_class][order]
        values.append(_average_precision(is_tp, int(num_objects[label])))
    return float(np.mean(values)) if values else float("nan")


def _average_precision(is_tp: Flags, num_objects: int) -> float:
    if not num_objects or not len(is_tp):
        return 0.0
    tp = np.cumsum(is_tp)
    precision = np.maximum.accumulate((tp / np.arange(1, len(tp) + 1))[::-1])[::-1]
    index = np.searchsorted(tp / num_objects, RECALLS, side="left")
    return 100 * float(np.append(precision, 0.0)[index].sum()) / len(RECALLS)


def _group_by_image(detections: Annotations, objects: Annotations, limit: int) -> Iterator[tuple[Ints, Ints]]:
    """Yield for each image the rows of its best detections, in the order of their scores, and those of its objects."""
    order = np.lexsort((-detections.score, detections.image))
    object_order = np.argsort(objects.image, kind="stable")
    images, object_images = detections.image[order], objects.image[object_order]
    for image in np.union1d(images, object_images):
        rows = order[slice(*np.searchsorted(images, [image, image + 1]))]
        columns = object_order[slice(*np.searchsorted(object_images, [image, image + 1]))]
        yield rows[:limit], columns


def _join(parts: Sequence[NDArray[Any]]) -> Ints:
    return np.concatenate([np.zeros(0, np.int64), *parts])
