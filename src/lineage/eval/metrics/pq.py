"""Panoptic quality (Kirillov et al., arXiv:1801.00868, section 4): one metric for things and stuff.

PQ = sum of IoU over matched / (TP + FP / 2 + FN / 2) = SQ * RQ. Segments of one class match at IoU > 0.5, where
unlabelled pixels count for neither; so a segment has one match at most. Crowds cannot be found, and a predicted segment
that lies by more than half in the crowd of its class and unlabelled pixels is not wrong. As in panopticapi, the area of
an annotated segment is the one listed, and of several crowds of a class the last one counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lineage.eval.scores import NAN, Scores, nan_mean

VOID = 0  # the id of unlabelled pixels, in ground truth and prediction
MATCH_IOU = 0.5
QUALITIES = ("PQ", "SQ", "RQ")

Ids = NDArray[np.int64]
Segment = Mapping[str, Any]  # id, category_id, iscrowd


class Counts(NamedTuple):
    """Contributions of R pairs of image and class to the sums of panoptic quality."""

    image: Ids  # [R] ids
    category: Ids  # [R] ids
    numbers: NDArray[np.float64]  # [R, 4] sum of IoU, TP, FP, FN


class SegmentError(ValueError):
    """A segment map and its list of segments contradict each other."""


def read_ids(pixels: NDArray[np.uint8]) -> Ids:
    """Return the segment ids [h, w] of the [h, w, 3] RGB of a panoptic PNG: R + 256 G + 256^2 B."""
    return pixels.astype(np.int64) @ np.array([1, 256, 256**2])


def read_png(path: Path) -> Ids:
    """Return the segment ids [h, w] of a panoptic PNG. Raises SegmentError."""
    try:
        with Image.open(path) as file:
            return read_ids(np.asarray(file.convert("RGB")))
    except OSError as error:
        raise SegmentError(
            f"{path}: cannot be read ({error}). The PNGs lie in a folder that is named as their JSON file."
        ) from error


def count(
    image: int, truth: Ids, predicted: Ids, segments: Sequence[Segment], predicted_segments: Sequence[Segment]
) -> Counts:
    """Count matches, false positives and false negatives of one image.

    truth, predicted: [h, w] maps of segment ids.
    segments, predicted_segments: the segments that they hold.
    """
    if truth.shape != predicted.shape:
        shapes = f"a prediction of {predicted.shape} for a ground truth of {truth.shape} pixels"
        raise SegmentError(f"Image {image}: {shapes}.")
    # 1. Common pixels of each pair of segments.
    gt_ids, gt_area, gt_index = _index_segments(truth)
    pred_ids, pred_area, pred_index = _index_segments(predicted)
    gt_segments, pred_segments = (
        _segments_of(image, ids, listed, side)
        for ids, listed, side in ((gt_ids, segments, "ground truth"), (pred_ids, predicted_segments, "prediction"))
    )
    gt_class, pred_class = (_classes(listed) for listed in (gt_segments, pred_segments))
    is_crowd = np.array([bool(segment.get("iscrowd")) for segment in gt_segments])
    is_used_crowd = _mark_last_crowds(gt_segments, segments)
    pairs = (gt_index * len(pred_ids) + pred_index).ravel()
    shared = np.bincount(pairs, minlength=len(gt_ids) * len(pred_ids)).reshape(len(gt_ids), len(pred_ids))
    # 2. IoU of segments of one class, and matches; row and column 0 are unlabelled.
    listed_area = [segment.get("area") or area for segment, area in zip(gt_segments, gt_area.tolist(), strict=True)]
    union = np.array(listed_area)[:, None] + pred_area - shared - shared[:1]
    is_comparable = (gt_class[:, None] == pred_class) & ~is_crowd[:, None]
    is_comparable[0] = is_comparable[:, 0] = False
    iou = np.where(is_comparable, shared / np.maximum(union, 1), 0)
    is_match = iou > MATCH_IOU
    # 3. Unmatched predictions are wrong unless crowds and unlabelled pixels cover them; other segments are missed.
    in_crowds = (shared * ((gt_class[:, None] == pred_class) & is_used_crowd[:, None])).sum(0)
    is_wrong = ~is_match.any(0) & ((shared[0] + in_crowds) / np.maximum(pred_area, 1) <= MATCH_IOU)
    is_missed = ~is_match.any(1) & ~is_crowd
    is_wrong[0] = is_missed[0] = False
    # 4. Sums by class.
    rows, columns = np.nonzero(is_match)
    outcomes = (gt_class[rows], gt_class[rows], pred_class[is_wrong], gt_class[is_missed])
    categories = np.unique(np.concatenate(outcomes))
    numbers = np.zeros((len(categories), 4))
    for column, classes in enumerate(outcomes):
        values = iou[rows, columns] if column == 0 else np.ones(len(classes))
        np.add.at(numbers[:, column], np.searchsorted(categories, classes), values)
    return Counts(np.full(len(categories), image), categories, numbers)


def summarize(counts: Counts, categories: Sequence[Mapping[str, Any]]) -> Scores:
    """Return panoptic/PQ, SQ, RQ of all classes, of things and of stuff, and of each class, in percent."""
    per_class: dict[str, dict[str, float]] = {}
    groups: dict[str, list[dict[str, float]]] = {"": [], "_things": [], "_stuff": []}
    for category in categories:
        iou, tp, fp, fn = counts.numbers[counts.category == category["id"]].sum(0)
        divisor = tp + fp / 2 + fn / 2
        if not divisor:
            per_class[category["name"]] = {f"panoptic/{name}": NAN for name in QUALITIES}
            continue
        values = zip(QUALITIES, (iou / divisor, iou / max(tp, 1), tp / divisor), strict=True)
        per_class[category["name"]] = {f"panoptic/{name}": 100 * float(value) for name, value in values}
        for group in ("", "_things" if category["isthing"] else "_stuff"):
            groups[group].append(per_class[category["name"]])
    means = {
        f"panoptic/{name}{group}": nan_mean([values[f"panoptic/{name}"] for values in classes])
        for group, classes in groups.items()
        for name in QUALITIES
    }
    return Scores(means, per_class)


def concatenate(parts: Sequence[Counts]) -> Counts:
    """Join the counts of several images."""
    parts = [Counts(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 4))), *parts]
    return Counts(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _index_segments(ids: Ids) -> tuple[Ids, Ids, Ids]:
    """Return the ids in a map, VOID first even if absent; their areas; and the map as indices of them."""
    present, index, area = np.unique(ids, return_inverse=True, return_counts=True)
    if len(present) and present[0] == VOID:
        return present, area, index.reshape(ids.shape)
    return np.append(VOID, present), np.append(0, area), index.reshape(ids.shape) + 1


def _segments_of(image: int, ids: Ids, segments: Sequence[Segment], side: str) -> list[Segment]:
    """Return the segment of each id in a map, {} for VOID, which is the first."""
    segment_of = {segment["id"]: segment for segment in segments}
    listed, drawn = set(segment_of), set(ids.tolist()) - {VOID}
    if listed != drawn:
        unlisted, undrawn = sorted(drawn - listed)[:5], sorted(listed - drawn)[:5]
        raise SegmentError(
            f"Image {image}: the {side}'s segment ids differ between picture and list: "
            f"{unlisted} are drawn but not listed, {undrawn} are listed but not drawn."
        )
    return [{}, *(segment_of[number] for number in ids.tolist()[1:])]


def _classes(segments: Sequence[Segment]) -> Ids:
    """Return the category of each segment, -1 for VOID."""
    return np.array([segment.get("category_id", -1) for segment in segments])


def _mark_last_crowds(segments: Sequence[Segment], listed: Sequence[Segment]) -> NDArray[np.bool_]:
    """Return a mask of the crowds that count: of each class the last one listed, as in panopticapi."""
    last = {segment["category_id"]: segment["id"] for segment in listed if segment.get("iscrowd")}
    return np.array([bool(segment) and last.get(segment["category_id"]) == segment["id"] for segment in segments])
