"""Cityscapes' instance evaluation (Cordts et al., arXiv:1604.01685, section 4.2), as its official script computes it.

AP is averaged over the IoU thresholds 0.5, 0.55, ... 0.95 that an overlap must *exceed*. An object is found by its best
detection, further ones are wrong. Groups and objects under 100 pixels cannot be found; a detection that overlaps no
object is forgiven if more of it than the threshold lies in groups, small objects or void. The curve starts at
(recall 0, precision 1), has one point per distinct score and is integrated by central steps, not by an envelope.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import hotcoco
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lineage.eval.accumulator import Round
from lineage.eval.predictions.predictions import Detected
from lineage.eval.predictions.rle import encode_masks
from lineage.eval.scores import Scores
from lineage.structures import Batch, Detections

if TYPE_CHECKING:
    from lineage.data.samples.dataset import GroundTruth

THRESHOLDS = np.arange(0.5, 1.0, 0.05)  # the official script's, with its rounding
SMALLEST = 100  # pixels of an object that counts
LABELS = {"person": 24, "rider": 25, "car": 26, "truck": 27, "bus": 28, "train": 31, "motorcycle": 32, "bicycle": 33}
VOID = (0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30)  # label ids that the evaluation ignores
GROUP = 1000  # instance ids below are bare label ids: a group, or no thing at all

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Rle = dict[str, Any]


class CityscapesError(ValueError):
    """Cityscapes' evaluation cannot be applied."""


class Truth(NamedTuple):
    """The objects of one image."""

    masks: list[Rle]
    category: NDArray[np.int64]  # [G] ids
    group: Flags  # [G] several objects that nobody told apart
    void: Rle | None  # pixels that nobody labelled, if known


class Pairs(NamedTuple):
    """The detections of one class in one image, and its objects."""

    scores: Floats  # [D]
    overlap: Floats  # [D, G] IoU
    forgiven: Floats  # [D] the part in void, groups and small objects
    counted: Flags  # [G] neither a group nor small


class CityscapesEvaluator:
    """mask/AP and mask/AP50.

    An image record of the ground truth may name its instance id image (`instance_ids`, the path of the PNG): then the
    numbers equal the official script's. Otherwise its annotations are the objects, crowds its groups, and void is
    `void` (an RLE) or unknown, which the protocol says.
    """

    def __init__(self, *, dataset: GroundTruth) -> None:
        truth = dataset.ground_truth()
        self.objects = Objects(truth)
        self.names = {one["id"]: one["name"] for one in truth["categories"]}
        self._round = Round(self.objects.images, ("mask",), dataset.meta.category_ids)

    @property
    def protocol(self) -> dict[str, Any]:
        thresholds = THRESHOLDS.round(4).tolist()
        mask: dict[str, Any] = {"iou_thresholds": thresholds, "smallest": SMALLEST, "void": self.objects.void}
        mask["paste"] = "bilinear at pixel centres, from 0.5"
        return {"name": "cityscapes", "engine": "lineage", "tasks": {"mask": mask}}

    def update(self, detections: Detections, batch: Batch) -> None:
        if detections.masks is None:
            raise CityscapesError(
                "Cityscapes scores instance masks and this model has none: choose model=mask_rcnn, or score boxes "
                "with dataset.evaluator._target_=lineage.eval.protocols.coco.CocoEvaluator"
            )
        self._round.add(detections, batch)

    def compute(self) -> dict[str, float]:
        return self._round.finish(self._score)

    def per_class(self) -> dict[str, dict[str, float]]:
        return self._round.scores.per_class

    def results(self) -> list[dict[str, Any]]:
        return self._round.records("mask")

    def _score(self, found: Detected, task: str) -> Scores:
        """Images one at a time: masks of the ground truth are not kept."""
        classes: dict[int, list[Pairs]] = {number: [] for number in self.names}
        masks, category, ends = found.masks(), self._round.category_ids[found.labels], np.cumsum(found.rows)
        for image, start, end in zip(found.images.tolist(), ends - found.rows, ends, strict=True):
            rows = slice(int(start), int(end))
            each = pairs(masks[rows], found.scores[rows], category[rows], self.objects(image), [*classes])
            for number, one in each.items():
                classes[number].append(one)
        return scores({self.names[number]: some for number, some in classes.items()})


class Objects:
    """What is to be found in an image, made when asked for. `void` says whether unlabelled pixels are known."""

    def __init__(self, truth: Mapping[str, Any]) -> None:
        self.images = {image["id"]: image for image in truth["images"]}
        self.void = all("instance_ids" in image or "void" in image for image in self.images.values())
        self._labels = label_ids({one["id"]: one["name"] for one in truth["categories"]})
        self._notes = hotcoco.COCO(dict(truth))

    def __call__(self, image: int) -> Truth:
        record = self.images[image]
        if "instance_ids" in record:
            return from_ids(np.asarray(Image.open(record["instance_ids"])), self._labels)
        notes = self._notes.load_anns(self._notes.get_ann_ids(img_ids=[image]))
        masks = [dict(self._notes.ann_to_rle(note)) for note in notes]
        numbers = np.array([note["category_id"] for note in notes], np.int64)
        group = np.array([bool(note.get("iscrowd", 0)) for note in notes], bool)
        return Truth(masks, numbers, group, record.get("void"))


def label_ids(names: Mapping[int, str]) -> dict[int, int]:
    """Cityscapes' label id of each category: by its name, or else its own id."""
    if set(names.values()) <= set(LABELS):
        return {number: LABELS[name] for number, name in names.items()}
    return {number: number for number in names}


def from_ids(ids: NDArray[np.integer], labels: Mapping[int, int]) -> Truth:
    """[h, w] instance ids: label * 1000 + n, or the bare label of a group or of stuff."""
    category_of = {label: number for number, label in labels.items()}
    present = [int(one) for one in np.unique(ids)]
    kept = [one for one in present if (one // GROUP if one >= GROUP else one) in category_of]
    numbers = np.array([category_of[one // GROUP if one >= GROUP else one] for one in kept], np.int64)
    group = np.array([one < GROUP for one in kept], bool)
    *masks, void = encode_masks([ids == one for one in kept] + [np.isin(ids, VOID)])
    return Truth(masks, numbers, group, void)


def pairs(
    masks: list[Rle],
    confidence: NDArray[np.floating],
    category: NDArray[np.int64],
    truth: Truth,
    classes: Sequence[int],
) -> dict[int, Pairs]:
    """Of each class that has a detection or an object in the image. Empty detections are dropped."""
    area = np.asarray(hotcoco.mask.area(masks), np.float64).reshape(len(masks))
    size = np.asarray(hotcoco.mask.area(truth.masks), np.float64).reshape(len(truth.masks))
    found: dict[int, Pairs] = {}
    for number in classes:
        rows, others = np.flatnonzero((category == number) & (area > 0)), np.flatnonzero(truth.category == number)
        if not len(rows) and not len(others):
            continue
        mine = [masks[row] for row in rows]
        shared = _shared(mine, area[rows], [truth.masks[other] for other in others])
        void = _shared(mine, area[rows], [truth.void]).sum(1) if truth.void else 0.0
        group, small = truth.group[others], size[others] < SMALLEST
        forgiven = void + shared @ (group + 1.0 * small)  # a small group counts twice, as in the official script
        overlap = shared / (area[rows][:, None] + size[others] - shared)
        scores = confidence[rows].astype(np.float64)
        found[number] = Pairs(scores, overlap, forgiven / area[rows], ~group & ~small)
    return found


def _shared(first: list[Rle], area: Floats, second: list[Rle]) -> Floats:
    """[D, G] common pixels. The engine divides by the detection's area when the other is a crowd: undone exactly."""
    if not first or not second:
        return np.zeros((len(first), len(second)))
    parts = hotcoco.primitives.mask_iou(first, second, np.ones(len(second), bool))
    return np.rint(parts * area[:, None])


def scores(classes: Mapping[str, Sequence[Pairs]]) -> Scores:
    """In percent; a class without objects is NaN and not part of the means."""
    table = np.array([[average_precision(images, least) for least in THRESHOLDS] for images in classes.values()])
    known = table[~np.isnan(table).any(1)]
    means = {"mask/AP": known.mean(), "mask/AP50": known[:, 0].mean()} if len(known) else dict.fromkeys(
        ("mask/AP", "mask/AP50"), float("nan"))  # fmt: skip
    each = {name: {"mask/AP": row.mean(), "mask/AP50": row[0]} for name, row in zip(classes, table, strict=True)}
    percent = {name: {key: 100 * float(value) for key, value in one.items()} for name, one in each.items()}
    return Scores({name: 100 * float(value) for name, value in means.items()}, percent)


def average_precision(images: Sequence[Pairs], least: float) -> float:
    right, wrong = [np.zeros(0)], [np.zeros(0)]
    missed = objects = 0
    for one in images:
        near = one.overlap > least
        rivals = np.where(near, one.scores[:, None], -np.inf)[:, one.counted]
        best = rivals.max(0, initial=-np.inf)
        found = best > -np.inf
        right.append(best[found])
        if rivals.size:
            rivals[rivals.argmax(0), np.arange(rivals.shape[1])] = -np.inf
        wrong.append(rivals[rivals > -np.inf])
        wrong.append(one.scores[~near.any(1) & (one.forgiven <= least)])
        missed += int((~found).sum())
        objects += len(found)
    if not objects:
        return float("nan")
    if not any(len(one.scores) for one in images):
        return 0.0
    return area(np.concatenate(right), np.concatenate(wrong), missed)


def area(right: Floats, wrong: Floats, missed: int) -> float:
    """Under the official curve: a point for each distinct score, then (0, 1); a step spans half of both neighbours'."""
    levels = np.unique(np.concatenate([right, wrong]))
    hits = len(right) - np.searchsorted(np.sort(right), levels)
    false = len(wrong) - np.searchsorted(np.sort(wrong), levels)
    recall = np.append(hits / max(1, len(right) + missed), 0.0)
    precision = np.append(hits / np.maximum(hits + false, 1), 1.0)
    widths = np.convolve(np.concatenate([recall[:1], recall, [0.0]]), [-0.5, 0, 0.5], "valid")
    return float(precision @ widths)
