"""Panoptic quality (Kirillov et al., arXiv:1801.00868, section 4): one number for things and stuff.

PQ = sum of IoU over matched / (TP + FP / 2 + FN / 2) = SQ * RQ. Segments of one class match at IoU > 0.5, where
unlabelled pixels count for neither; so a segment has one match at most. Crowds cannot be found, and a predicted segment
that lies by more than half in crowds of its class and unlabelled pixels is not wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

VOID = 0  # the id of unlabelled pixels, in ground truth and prediction
MATCH = 0.5

Ids = NDArray[np.int64]
Segment = Mapping[str, Any]  # id, category_id, iscrowd
Numbers = tuple[dict[str, float], dict[str, dict[str, float]]]  # metric -> percent, and the same of each class


class Counts(NamedTuple):
    """R rows: what an image adds to a class."""

    image: Ids  # [R] ids
    category: Ids  # [R] ids
    numbers: NDArray[np.float64]  # [R, 4] sum of IoU, TP, FP, FN


class SegmentError(ValueError):
    """A segment map and its list of segments contradict each other."""


def read_ids(pixels: NDArray[np.uint8]) -> Ids:
    """[h, w, 3] RGB of a panoptic PNG -> ids: R + 256 G + 256^2 B."""
    return pixels.astype(np.int64) @ np.array([1, 256, 256**2])


def write_ids(ids: Ids) -> NDArray[np.uint8]:
    """The inverse of `read_ids`."""
    return (ids[..., None] // np.array([1, 256, 256**2]) % 256).astype(np.uint8)


def count(image: int, truth: Ids, found: Ids, segments: Sequence[Segment], predicted: Sequence[Segment]) -> Counts:
    """Of two [h, w] maps of segment ids with the segments they hold."""
    if truth.shape != found.shape:
        raise SegmentError(f"Image {image}: a prediction of {found.shape} for a ground truth of {truth.shape} pixels.")
    g_ids, g_area, g_index = _indexed(truth)
    d_ids, d_area, d_index = _indexed(found)
    g_class, g_crowd = _classes(image, g_ids, segments, "ground truth")
    d_class, _ = _classes(image, d_ids, predicted, "prediction")
    flat = np.bincount((g_index * len(d_ids) + d_index).ravel(), minlength=len(g_ids) * len(d_ids))
    shared = flat.reshape(len(g_ids), len(d_ids))  # [G, D] pixels, row and column 0 unlabelled
    union = g_area[:, None] + d_area - shared - shared[:1]
    same = (g_class[:, None] == d_class) & ~g_crowd[:, None]
    same[0] = same[:, 0] = False
    iou = np.where(same, shared / np.maximum(union, 1), 0)
    match = iou > MATCH
    covered = shared[0] + (shared * ((g_class[:, None] == d_class) & g_crowd[:, None])).sum(0)
    wrong = ~match.any(0) & (covered / np.maximum(d_area, 1) <= MATCH)
    missed = ~match.any(1) & ~g_crowd
    wrong[0] = missed[0] = False
    at = np.nonzero(match)
    outcomes = (g_class[at[0]], g_class[at[0]], d_class[wrong], g_class[missed])
    categories = np.unique(np.concatenate(outcomes))
    numbers = np.zeros((len(categories), 4))
    for column, part in enumerate(outcomes):
        value = iou[at] if column == 0 else np.ones(len(part))
        np.add.at(numbers[:, column], np.searchsorted(categories, part), value)
    return Counts(np.full(len(categories), image), categories, numbers)


def summary(counts: Counts, categories: Sequence[Mapping[str, Any]]) -> Numbers:
    """panoptic/PQ, SQ, RQ of all classes, of things and of stuff, and of each class, in percent."""
    each: dict[str, dict[str, float]] = {}
    groups: dict[str, list[dict[str, float]]] = {"": [], "_things": [], "_stuff": []}
    for one in categories:
        total, right, wrong, missed = counts.numbers[counts.category == one["id"]].sum(0)
        whole = right + wrong / 2 + missed / 2
        if not whole:
            each[one["name"]] = {f"panoptic/{name}": float("nan") for name in ("PQ", "SQ", "RQ")}
            continue
        values = {"PQ": total / whole, "SQ": total / max(right, 1), "RQ": right / whole}
        each[one["name"]] = {f"panoptic/{name}": 100 * float(value) for name, value in values.items()}
        for group in ("", "_things" if one["isthing"] else "_stuff"):
            groups[group].append(each[one["name"]])
    means = {
        f"panoptic/{name}{group}": _mean([one[f"panoptic/{name}"] for one in some])
        for group, some in groups.items()
        for name in ("PQ", "SQ", "RQ")
    }
    return means, each


def concatenate(parts: Sequence[Counts]) -> Counts:
    parts = [Counts(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 4))), *parts]
    return Counts(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _indexed(ids: Ids) -> tuple[Ids, Ids, Ids]:
    """The ids, VOID first even if absent; their areas; the map as places among them."""
    present, index, area = np.unique(ids, return_inverse=True, return_counts=True)
    if len(present) and present[0] == VOID:
        return present, area, index.reshape(ids.shape)
    return np.append(VOID, present), np.append(0, area), index.reshape(ids.shape) + 1


def _classes(image: int, ids: Ids, segments: Sequence[Segment], side: str) -> tuple[Ids, NDArray[np.bool_]]:
    """[n] category of each id, -1 for VOID, and whether it is a crowd."""
    known = {one["id"]: one for one in segments}
    listed, drawn = set(known), set(ids.tolist()) - {VOID}
    if listed != drawn:
        unlisted, undrawn = sorted(drawn - listed)[:5], sorted(listed - drawn)[:5]
        raise SegmentError(
            f"Image {image}: the {side}'s segment ids differ between picture and list: "
            f"{unlisted} are drawn but not listed, {undrawn} are listed but not drawn."
        )
    rows = [known[one] for one in ids.tolist()[1:]]
    crowd = np.array([False, *(bool(one.get("iscrowd", 0)) for one in rows)])
    return np.array([-1, *(one["category_id"] for one in rows)]), crowd


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
