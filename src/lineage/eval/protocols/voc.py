"""PASCAL VOC's evaluation (Everingham et al., IJCV 2010, section 4; the development kit's VOCevaldet).

Each detection, best first, is compared with the object of its class that it overlaps most in its image: at IoU 0.5 or
more it is right if nothing found the object before, wrong if something did, and does not count if the object is
`difficult`. Overlap is of continuous boxes, which is the kit's of integer corners with +1: pixel i covers [i, i + 1).
Until 2009 AP is the mean of the best precision at 11 recalls (mAP07), since then the area under the curve (mAP).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import hotcoco
import numpy as np
from numpy.typing import NDArray

from lineage.eval.accumulator import Round
from lineage.eval.predictions.predictions import Detected
from lineage.eval.scores import Scores
from lineage.structures import Batch, Detections

if TYPE_CHECKING:
    from lineage.data.samples.dataset import GroundTruth

OVERLAP = 0.5
POINTS = np.arange(0, 1.1, 0.1)  # with its rounding: at recall 3/10 the fourth, 0.30000000000000004, is not reached

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Boxes(NamedTuple):
    """Detections or objects, one row each."""

    image: Ints  # [N] ids
    category: Ints  # [N] ids
    box: Floats  # [N, 4] x, y, width, height
    score: Floats  # [N] of detections; 1 for a difficult object, else 0


class VocEvaluator:
    """voc/mAP07 and voc/mAP. An object is difficult if its annotation says so, or else if it is a crowd."""

    def __init__(self, *, dataset: GroundTruth, overlap: float = OVERLAP) -> None:
        truth = dataset.ground_truth()
        self.overlap = overlap
        self.names = {one["id"]: one["name"] for one in truth["categories"]}
        self.objects = objects(truth)
        self._round = Round((image["id"] for image in truth["images"]), ("box",), dataset.meta.category_ids)

    @property
    def protocol(self) -> dict[str, Any]:
        return protocol(self.overlap)

    def update(self, detections: Detections, batch: Batch) -> None:
        self._round.add(detections, batch)

    def compute(self) -> dict[str, float]:
        return self._round.finish(self._score)

    def per_class(self) -> dict[str, dict[str, float]]:
        return self._round.scores.per_class

    def results(self) -> list[dict[str, Any]]:
        return self._round.records("box")

    def _score(self, found: Detected, task: str) -> Scores:
        image = found.image_of_row()
        order = np.argsort(image, kind="stable")  # equal scores rank by image, however processes shared the images
        category, scores = self._round.category_ids[found.labels], found.scores.astype(np.float64)
        boxes = Boxes(image[order], category[order], found.xywh()[order], scores[order])
        return score(boxes, self.objects, self.names, self.overlap)


def protocol(overlap: float = OVERLAP) -> dict[str, Any]:
    box = {"iou_thresholds": [overlap], "recall_points": [11, "area"]}
    return {"name": "voc", "engine": "lineage", "tasks": {"box": box}}


def objects(truth: Mapping[str, Any]) -> Boxes:
    notes: Sequence[Mapping[str, Any]] = truth["annotations"]
    return Boxes(
        image=np.array([note["image_id"] for note in notes], np.int64),
        category=np.array([note["category_id"] for note in notes], np.int64),
        box=np.array([note["bbox"] for note in notes], np.float64).reshape(-1, 4),
        score=np.array([bool(note.get("difficult", note.get("iscrowd", 0))) for note in notes], np.float64),
    )


def score(found: Boxes, truth: Boxes, names: Mapping[int, str], overlap: float = OVERLAP) -> Scores:
    """In percent; the mean is over the classes that have an object which is not difficult."""
    per_class: dict[str, dict[str, float]] = {}
    for category, name in names.items():
        rows, others = np.flatnonzero(found.category == category), np.flatnonzero(truth.category == category)
        recall, precision = curve(found, truth, rows, others, overlap)
        both = {"voc/AP07": eleven_points(recall, precision), "voc/AP": area(recall, precision)}
        nothing = not (truth.score[others] == 0).any()
        per_class[name] = {key: float("nan") if nothing else 100 * value for key, value in both.items()}
    means = {f"voc/m{key[4:]}": _mean([one[key] for one in per_class.values()]) for key in ("voc/AP", "voc/AP07")}
    return Scores(means, per_class)


def curve(found: Boxes, truth: Boxes, rows: Ints, others: Ints, overlap: float) -> tuple[Floats, Floats]:
    """Recall and precision after each detection of one class that counts."""
    rows = rows[np.argsort(-found.score[rows], kind="stable")]
    value, nearest = nearest_objects(found, truth, rows, others)
    near = value >= overlap
    difficult = np.append(truth.score[others] > 0, False)[nearest]
    first = np.zeros(len(rows), bool)
    first[np.flatnonzero(near)[np.unique(nearest[near], return_index=True)[1]]] = True
    counts = ~(near & difficult)
    right, wrong = np.cumsum((near & first)[counts]), np.cumsum(~(near & first)[counts])
    return right / max(1, int((truth.score[others] == 0).sum())), right / np.maximum(right + wrong, 1)


def nearest_objects(found: Boxes, truth: Boxes, rows: Ints, others: Ints) -> tuple[Floats, Ints]:
    """For each detection the greatest overlap in its image, and with which object: the first of equals, or -1."""
    value, nearest = np.full(len(rows), -1.0), np.full(len(rows), -1)
    order, by_image = (np.argsort(ids, kind="stable") for ids in (found.image[rows], truth.image[others]))
    images, known = found.image[rows][order], truth.image[others][by_image]
    for image in np.intersect1d(images, known):
        mine = order[slice(*np.searchsorted(images, [image, image + 1]))]
        its = by_image[slice(*np.searchsorted(known, [image, image + 1]))]
        overlaps = hotcoco.primitives.bbox_iou(found.box[rows[mine]], truth.box[others[its]], np.zeros(len(its), bool))
        value[mine], nearest[mine] = overlaps.max(1), its[overlaps.argmax(1)]
    return value, nearest


def eleven_points(recall: Floats, precision: Floats) -> float:
    """Mean over recalls 0, 0.1, ... 1 of the best precision from there on."""
    best = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0)
    return float(best[np.searchsorted(recall, POINTS)].mean())


def area(recall: Floats, precision: Floats) -> float:
    """Under the curve, made to fall."""
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall, prepend=0) * best).sum())


def _mean(values: list[float]) -> float:
    known = [value for value in values if value == value]
    return float(np.mean(known)) if known else float("nan")
