"""COCO's matching and its precision curve for any overlap: what boundaries and the localisation error need.

The engine of `score.py` computes the overlaps it knows; here they are given. The rules are those of pycocotools 2.0.11:
detections in the order of their scores take the free object they overlap most (of equal ones the last), one that counts
before one that does not; a crowd is never used up; what is matched to an ignored object, or is unmatched and of another
size, is ignored. Tests hold this engine to all its numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Overlap = Callable[[Ints, Ints], Floats]  # rows of detections [D] and of objects [G] -> [D, G]

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
AREAS = {"all": (0, 1e10), "s": (0, 32**2), "m": (32**2, 96**2), "l": (96**2, 1e10)}
LIMITS = (1, 10, 100)  # detections per image and class


class Things(NamedTuple):
    """Objects or detections, one row each."""

    image: Ints  # [N] place of the image among the sorted ids
    label: Ints  # [N]
    area: Floats  # [N]
    score: Floats  # [N] of detections; objects have 1 where they are a crowd, else 0


class Ranked(NamedTuple):
    """The n detections of one class over all images, best first, for A areas and T thresholds."""

    scores: Floats  # [n]
    place: Ints  # [n] among the detections of its image
    hit: Flags  # [A, T, n] it found an object, or lies in an ignored one
    ignored: Flags  # [A, T, n] it counts neither as right nor as wrong
    overlap: Floats  # [n] with what it found at the lowest threshold among objects of all sizes, else 0
    objects: Ints  # [A] that count


def ranked(found: Things, truth: Things, classes: int, overlap: Overlap) -> Iterator[Ranked]:
    """Class by class."""
    images = int(max(found.image.max(initial=-1), truth.image.max(initial=-1))) + 1
    d_key, g_key = found.label * images + found.image, truth.label * images + truth.image
    d_order, g_order = np.lexsort((-found.score, d_key)), np.argsort(g_key, kind="stable")
    place = np.arange(len(d_order)) - np.searchsorted(d_key[d_order], d_key[d_order])
    d_order, place = d_order[place < LIMITS[-1]], place[place < LIMITS[-1]]
    for label in range(classes):
        span = slice(*np.searchsorted(found.label[d_order], [label, label + 1]))
        objects = g_order[slice(*np.searchsorted(truth.label[g_order], [label, label + 1]))]
        yield _one_class(found, truth, d_order[span], place[span], objects, overlap)


def _one_class(found: Things, truth: Things, rows: Ints, place: Ints, objects: Ints, overlap: Overlap) -> Ranked:
    """`rows` and `objects` are in the order of their images, rows of an image in the order of their scores."""
    bounds = np.array([*AREAS.values()])
    crowd = truth.score[objects] > 0
    ignore = crowd | _outside(truth.area[objects], bounds)
    hit = np.zeros((len(bounds), len(THRESHOLDS), len(rows)), bool)
    ignored = hit.copy()
    best = np.zeros(len(rows))
    shared = np.intersect1d(found.image[rows], truth.image[objects])
    first, last = (np.searchsorted(found.image[rows], shared, side) for side in ("left", "right"))
    begin, end = (np.searchsorted(truth.image[objects], shared, side) for side in ("left", "right"))
    for d1, d2, g1, g2 in zip(first, last, begin, end, strict=True):
        values = overlap(rows[d1:d2], objects[g1:g2])
        match = greedy(values, ignore[:, g1:g2], crowd[g1:g2])
        hit[..., d1:d2] = match >= 0
        ignored[..., d1:d2] = hit[..., d1:d2] & np.take_along_axis(ignore[:, None, g1:g2], match, axis=2)
        best[d1:d2] = np.take_along_axis(values, match[0, 0][:, None], axis=1)[:, 0] * (match[0, 0] >= 0)
    ignored |= ~hit & _outside(found.area[rows], bounds)[:, None]
    order = np.argsort(-found.score[rows], kind="stable")
    columns = (found.score[rows][order], place[order], hit[..., order], ignored[..., order], best[order])
    return Ranked(*columns, (~ignore).sum(1))


def greedy(overlaps: Floats, ignore: Flags, crowd: Flags) -> Ints:
    """[D, G] overlaps of detections, best first; [A, G] ignored objects -> [A, T, D] the object found, or -1."""
    count, objects = overlaps.shape
    least = np.minimum(THRESHOLDS, 1 - 1e-10)[:, None]
    match = np.full((len(ignore), len(THRESHOLDS), count), -1)
    free = np.ones((len(ignore), len(THRESHOLDS), objects), bool)
    for row in np.flatnonzero(overlaps.max(axis=1, initial=0) >= least[0]):
        enough = free & (overlaps[row] >= least)
        counts = enough & ~ignore[:, None]
        eligible = np.where(counts.any(2, keepdims=True), counts, enough)
        chosen = objects - 1 - np.where(eligible, overlaps[row], -1)[..., ::-1].argmax(2)
        some = eligible.any(2)
        match[..., row] = np.where(some, chosen, -1)
        free &= ~(some[..., None] & (np.arange(objects) == chosen[..., None])) | crowd
    return match


def precision(one: Ranked, area: int, limit: int) -> tuple[Floats, Floats]:
    """[T, 101] precision at the recall points and [T] recall, of at most `limit` detections per image."""
    within = one.place < limit
    hit, ignored = one.hit[area][:, within], one.ignored[area][:, within]
    right, wrong = np.cumsum(hit & ~ignored, axis=1), np.cumsum(~hit & ~ignored, axis=1)
    recall = right / one.objects[area]
    value = right / (right + wrong + np.spacing(1))
    value = np.maximum.accumulate(value[:, ::-1], axis=1)[:, ::-1]
    value = np.concatenate([value, np.zeros((len(value), 1))], axis=1)
    at = [row[np.searchsorted(rising, RECALLS, side="left")] for row, rising in zip(value, recall, strict=True)]
    return np.stack(at), recall[:, -1] if recall.shape[1] else np.zeros(len(recall))


def summary(classes: list[Ranked]) -> tuple[dict[str, float], list[tuple[float, float]]]:
    """COCO's 12 numbers in percent, and (AP, AP50) of each class; NaN where nothing can be measured."""
    curves, recalls = {}, {}
    for area in range(len(AREAS)):
        some = [one for one in classes if one.objects[area]]
        for limit in LIMITS:
            both = [precision(one, area, limit) for one in some]
            curves[area, limit], recalls[area, limit] = [p for p, _ in both], [r for _, r in both]
    whole = curves[0, LIMITS[-1]]
    numbers = {"AP": _mean(whole), "AP50": _mean([p[0] for p in whole]), "AP75": _mean([p[5] for p in whole])}
    numbers |= {f"AP{name}": _mean(curves[area, LIMITS[-1]]) for area, name in enumerate(AREAS) if area}
    numbers |= {f"AR{limit}": _mean(recalls[0, limit]) for limit in LIMITS}
    numbers |= {f"AR{name}": _mean(recalls[area, LIMITS[-1]]) for area, name in enumerate(AREAS) if area}
    rest = iter(whole)
    measured = [next(rest) if one.objects[0] else np.array([]) for one in classes]
    return numbers, [(_mean([p]), _mean([p[0]]) if len(p) else float("nan")) for p in measured]


def _outside(area: Floats, bounds: Floats) -> Flags:
    return (area < bounds[:, :1]) | (area > bounds[:, 1:])


def _mean(values: list[Floats]) -> float:
    return 100 * float(np.mean(values)) if np.size(values) else float("nan")
