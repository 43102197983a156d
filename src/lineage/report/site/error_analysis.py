"""Errors of a run's detections: precision over recall, confusions, TIDE, LRP, sizes, scores, and AP of single images.

All matching is that of eval/metrics; nothing is matched here but the confusion matrix, which ignores classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from lineage.eval.document import document_of
from lineage.eval.engine import load_documents
from lineage.eval.metrics import own_matching
from lineage.eval.metrics.matching import AP75, Annotations, Flags, Floats, Ints, MatchedDetections, precision_recall
from lineage.eval.metrics.tide import CORRECT, KINDS, classify_image
from lineage.eval.scored_document import coco_documents
from lineage.eval.scores import nan_mean

LIMIT = 100  # detections of an image and class, as COCO counts
CONFIDENT = 0.5  # score from which a detection counts in confusions and in the counts of an image
MATCH_IOU = 0.5
SIZES = (0, 16, 32, 64, 96, 128, 256, 512)  # square roots of areas: lower ends of bins
SCORE_BINS, CALIBRATION_BINS = 20, 10
CODES = {CORRECT: 0} | {kind: number for number, kind in enumerate(KINDS, 1)}
IGNORED = 9  # code of a detection inside a crowd

Record = dict[str, Any]


class ImageRows(NamedTuple):
    """The detections and objects of one image, with what became of each."""

    image: int  # position
    detections: Ints  # [D] rows, best first
    objects: Ints  # [G] rows, without crowds
    codes: Ints  # [D] values of CODES, or IGNORED
    is_found: Flags  # [G]


class TaskErrors(NamedTuple):
    """The analysis of one task as JSON, and the code of each record's error."""

    summary: dict[str, Any]
    codes: list[int]  # per record; -1: beyond the limit


def analyse_task(document: Record, records: Sequence[Record], task: str, order: Sequence[int]) -> TaskErrors:
    """Return the analysis of `records`, COCO results, against a COCO document; task is box or mask.

    order: ids of the images in the order of the dataset, for what is listed per image.
    """
    # 1. Ground truth and detections as columns.
    content = document_of(document).ground_truth()
    truth = load_documents(coco_documents(content, [task]))[task]
    results = truth.load_res(list(records))
    detections, objects, overlap = own_matching.columns_and_overlap(truth, results, task, order)
    # 2. Matched by class, for curves; by image, for kinds of errors.
    classes = own_matching.match(truth, results, task, LIMIT)
    images = list(_classify(detections, objects, overlap))
    codes = np.full(len(records), -1)
    for image in images:
        codes[image.detections] = image.codes
    # 3. Sums.
    names = own_matching.names_in_order(truth)
    summary = {
        "classes": names,
        "pr": _describe_precision(classes),
        "confusion": _count_confusions(images, detections, objects, overlap, len(names)),
        "tide": _strip(own_matching.score_tide(truth, results, task, LIMIT).metrics, f"{task}/dAP_"),
        "lrp": _strip(own_matching.score_lrp(truth, results, task, LIMIT).metrics, f"{task}/"),
        "sizes": _count_sizes(images, objects),
        **_count_scores(detections.score, codes),
        "images": _score_images(classes, images, detections, sorted(order), order),
    }
    return TaskErrors(summary, codes.tolist())


def _classify(detections: Annotations, objects: Annotations, overlap: Any) -> Iterator[ImageRows]:
    order = np.lexsort((-detections.score, detections.image))
    object_order = np.argsort(objects.image, kind="stable")
    images, object_images = detections.image[order], objects.image[object_order]
    for image in np.union1d(images, object_images).tolist():
        rows = order[slice(*np.searchsorted(images, [image, image + 1]))][:LIMIT]
        columns = object_order[slice(*np.searchsorted(object_images, [image, image + 1]))]
        errors = classify_image(detections, objects, rows, columns, overlap)
        codes = np.array([CODES[kind] for kind in errors.kinds], np.int64)
        codes[errors.ignored] = IGNORED
        yield ImageRows(image, rows, errors.objects, codes, errors.is_found)


def _describe_precision(classes: Sequence[MatchedDetections]) -> dict[str, Any]:
    """Return precision in thousandths at 101 recalls: means over classes at IoU .5, .75 and of all; per class at .5."""
    curves = [precision_recall(matched, 0, LIMIT)[0] if matched.num_objects[0] else None for matched in classes]
    measured = [curve for curve in curves if curve is not None]
    if not measured:
        return {}
    mean = np.mean(measured, axis=0)
    return {
        "50": _thousandths(mean[0]), "75": _thousandths(mean[AP75]), "all": _thousandths(mean.mean(0)),
        "classes": [None if curve is None else _thousandths(curve[0]) for curve in curves],
    }  # fmt: skip


def _count_confusions(
    images: Sequence[ImageRows], detections: Annotations, objects: Annotations, overlap: Any, count: int
) -> list[list[int]]:
    """Return [true class or background, predicted class or missed], of detections from CONFIDENT on.

    Each takes the free object that it overlaps most, of any class, from IoU .5 on.
    """
    matrix = np.zeros((count + 1, count + 1), np.int64)
    for image in images:
        is_sure = (detections.score[image.detections] >= CONFIDENT) & (image.codes != IGNORED)
        rows, columns = image.detections[is_sure], image.objects
        iou = overlap(rows, columns) if len(rows) and len(columns) else np.zeros((len(rows), len(columns)))
        is_free = np.ones(len(columns), bool)
        for row, overlaps in zip(rows, iou, strict=True):
            best = int(np.where(is_free, overlaps, -1).argmax()) if len(columns) else -1
            is_match = best >= 0 and bool(is_free[best]) and overlaps[best] >= MATCH_IOU
            true = objects.label[columns[best]] if is_match else count
            matrix[true, detections.label[row]] += 1
            if is_match:
                is_free[best] = False
        matrix[:, count] += np.bincount(objects.label[columns[is_free]], minlength=count + 1)
    return [[int(value) for value in row] for row in matrix]


def _count_sizes(images: Sequence[ImageRows], objects: Annotations) -> list[list[int]]:
    """Return [objects, of these found at IoU .5 at any score] per bin of SIZES."""
    rows = np.concatenate([np.zeros(0, np.int64), *(image.objects for image in images)])
    is_found = np.concatenate([np.zeros(0, bool), *(image.is_found for image in images)])
    bins = np.searchsorted(SIZES, np.sqrt(objects.area[rows]), side="right") - 1
    return [[int((bins == i).sum()), int((is_found & (bins == i)).sum())] for i in range(len(SIZES))]


def _count_scores(scores: Floats, codes: Ints) -> dict[str, Any]:
    """Return histograms of the scores of right and wrong detections, and precision over score in bins."""
    is_right, is_wrong = codes == 0, (codes > 0) & (codes != IGNORED)
    edges = np.linspace(0, 1, SCORE_BINS + 1)
    histograms = [np.histogram(np.clip(scores[rows], 0, 1), edges)[0].tolist() for rows in (is_right, is_wrong)]
    counts = is_right | is_wrong
    bins = np.clip((scores * CALIBRATION_BINS).astype(int), 0, CALIBRATION_BINS - 1)
    calibration: list[list[float] | None] = []
    error, total = 0.0, max(int(counts.sum()), 1)
    for i in range(CALIBRATION_BINS):
        rows = counts & (bins == i)
        n = int(rows.sum())
        if not n:
            calibration.append(None)
            continue
        score, precision = float(scores[rows].mean()), float(is_right[rows].mean())
        calibration.append([n, round(score, 4), round(precision, 4)])
        error += n / total * abs(score - precision)
    return {"scores": histograms, "calibration": calibration, "calibration_error": round(100 * error, 2)}


def _score_images(
    classes: Sequence[MatchedDetections], images: Sequence[ImageRows], detections: Annotations,
    ids: Sequence[int], order: Sequence[int],
) -> list[list[float | None]]:  # fmt: skip
    """Return for each image in `order` its AP, and its right, wrong and missed at scores from CONFIDENT on.

    AP of an image: the mean over the classes that it has objects of; None without objects. `ids`: images as
    MatchedDetections counts them.
    """
    values: list[list[float]] = [[] for _ in ids]
    for matched in classes:
        counts = np.bincount(matched.object_images, minlength=len(ids))
        by_image = np.argsort(matched.image, kind="stable")
        starts = np.searchsorted(matched.image[by_image], np.arange(len(ids) + 1))
        for position in np.flatnonzero(counts).tolist():
            rows = by_image[starts[position] : starts[position + 1]]
            values[position].append(_score_image(matched, rows, int(counts[position])))
    ap = {number: nan_mean(of_image) for number, of_image in zip(ids, values, strict=True) if of_image}
    table: list[list[float | None]] = [[_percent(ap.get(number)), 0, 0, 0] for number in order]
    for image in images:
        is_sure = detections.score[image.detections] >= CONFIDENT
        right = int((is_sure & (image.codes == 0)).sum())
        wrong = int((is_sure & (image.codes > 0) & (image.codes != IGNORED)).sum())
        table[image.image][1:] = [right, wrong, len(image.objects) - right]
    return table


def _score_image(matched: MatchedDetections, rows: Ints, num_objects: int) -> float:
    if not len(rows):
        return 0.0
    of_image = matched._replace(
        rank=matched.rank[rows], is_tp=matched.is_tp[..., rows], ignored=matched.ignored[..., rows],
        num_objects=np.full_like(matched.num_objects, num_objects),
    )  # fmt: skip
    return float(precision_recall(of_image, 0, LIMIT)[0].mean())


def _percent(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 1)


def _thousandths(values: Floats) -> list[int]:
    return [int(value) for value in np.round(1000 * values)]


def _strip(metrics: dict[str, float], prefix: str) -> dict[str, float]:
    return {name.removeprefix(prefix): round(value, 3) for name, value in metrics.items()}
