"""Cityscapes' instance evaluation (Cordts et al., arXiv:1604.01685, section 4.2), as its official script computes it.

AP is averaged over the IoU thresholds 0.5, 0.55, ... 0.95 that an overlap must *exceed*. The best detection that
overlaps an object is right, further ones are wrong. Groups and objects under 100 pixels cannot be found; a detection
that overlaps no object is ignored if more of it than the threshold lies in groups, small objects or void. The curve
starts at (recall 0, precision 1), has one point per distinct score and is integrated by central steps, not by an
envelope.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import hotcoco
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lineage.eval.document import CocoDataset
from lineage.eval.notes import empty_notes
from lineage.eval.predictions.predictions import Predictions
from lineage.eval.predictions.rle import encode_masks
from lineage.eval.protocols.coco import PASTE
from lineage.eval.scored_document import coco_documents
from lineage.eval.scores import NAN, Scores, class_names

THRESHOLDS = np.arange(0.5, 1.0, 0.05)  # the official script's, with its rounding
MIN_PIXELS = 100  # of an object that counts
LABELS = {"person": 24, "rider": 25, "car": 26, "truck": 27, "bus": 28, "train": 31, "motorcycle": 32, "bicycle": 33}
VOID = (0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30)  # label ids that the evaluation ignores
GROUP = 1000  # instance ids below are bare label ids: a group, or stuff

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Rle = dict[str, Any]


class ImageObjects(NamedTuple):
    """Objects of one image."""

    masks: list[Rle]
    category: NDArray[np.int64]  # [G] ids
    is_group: Flags  # [G] several objects annotated as one
    void: Rle | None  # unlabelled pixels, if known


class Overlaps(NamedTuple):
    """Detections of one class in one image, and how they overlap its objects."""

    scores: Floats  # [D]
    iou: Floats  # [D, G]
    ignored_fraction: Floats  # [D] part of a detection in void, groups and small objects
    counts: Flags  # [G] neither a group nor small


class CityscapesScorer:
    """Scorer of mask/AP and mask/AP50.

    An image record of the ground truth may name its instance id image (`instance_ids`, the path of the PNG): then the
    metrics equal the official script's. Otherwise its annotations are the objects, crowds its groups, and void is
    `void` (an RLE) or unknown; the protocol records which.
    """

    name = "cityscapes"
    supported = defaults = tasks = ("mask",)
    extra_names = ()

    def __init__(self, *, dataset: CocoDataset) -> None:
        document = dataset.ground_truth()
        self.objects = ObjectReader(document)
        self.names = class_names(document["categories"])
        self.images = self.objects.images
        self.notes = empty_notes(document)
        self.category_ids = np.array(dataset.meta.category_ids, np.int64)

    @property
    def protocol(self) -> dict[str, Any]:
        thresholds = THRESHOLDS.round(4).tolist()
        mask = {"iou_thresholds": thresholds, "smallest": MIN_PIXELS, "void": self.objects.has_void, "paste": PASTE}
        return {"name": self.name, "engine": "lineage", "tasks": {"mask": mask}}

    def score(self, predictions: Predictions, task: str) -> Scores:
        """Score masks one image at a time, so that masks of the ground truth need not be kept."""
        overlaps: dict[str, list[Overlaps]] = {name: [] for name in self.names.values()}
        masks, category = predictions.masks(), self.category_ids[predictions.labels]
        order = np.argsort(predictions.image_index, kind="stable")
        ends = np.cumsum(np.bincount(predictions.image_index, minlength=len(predictions.images)))
        for image, rows in zip(predictions.images.tolist(), np.split(order, ends[:-1]), strict=True):
            of_image = [masks[row] for row in rows.tolist()], predictions.scores[rows], category[rows]
            for number, of_class in overlaps_by_class(*of_image, self.objects.read(image), [*self.names]).items():
                overlaps[self.names[number]].append(of_class)
        return average(overlaps)._replace(notes=self.notes)


class ObjectReader:
    """Reader of the objects of an image, from its PNG or its annotations. `has_void`: unlabelled pixels are known."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.images = {image["id"]: image for image in document["images"]}
        self.has_void = all("instance_ids" in image or "void" in image for image in self.images.values())
        self._labels = label_ids({category["id"]: category["name"] for category in document["categories"]})
        self._annotations = hotcoco.COCO(coco_documents(document, ("mask",))["mask"])

    def read(self, image: int) -> ImageObjects:
        record = self.images[image]
        if "instance_ids" in record:
            return objects_from_ids(np.asarray(Image.open(record["instance_ids"])), self._labels)
        annotations = self._annotations.load_anns(self._annotations.get_ann_ids(img_ids=[image]))
        masks = [dict(self._annotations.ann_to_rle(annotation)) for annotation in annotations]
        category = np.array([annotation["category_id"] for annotation in annotations], np.int64)
        is_group = np.array([bool(annotation.get("iscrowd", 0)) for annotation in annotations], bool)
        return ImageObjects(masks, category, is_group, record.get("void"))


def label_ids(names: Mapping[int, str]) -> dict[int, int]:
    """Return Cityscapes' label id of each category: by its name, or else its own id."""
    if set(names.values()) <= set(LABELS):
        return {number: LABELS[name] for number, name in names.items()}
    return {number: number for number in names}


def objects_from_ids(ids: NDArray[np.integer], labels: Mapping[int, int]) -> ImageObjects:
    """Return the objects of [h, w] instance ids: label * 1000 + n, or the bare label of a group or of stuff."""
    category_of = {label: number for number, label in labels.items()}
    label_of = {int(number): int(number // GROUP if number >= GROUP else number) for number in np.unique(ids)}
    objects = [number for number, label in label_of.items() if label in category_of]
    category = np.array([category_of[label_of[number]] for number in objects], np.int64)
    is_group = np.array([number < GROUP for number in objects], bool)
    *masks, void = encode_masks([ids == number for number in objects] + [np.isin(ids, VOID)])
    return ImageObjects(masks, category, is_group, void)


def overlaps_by_class(
    masks: list[Rle],
    scores: NDArray[np.floating],
    category: NDArray[np.int64],
    objects: ImageObjects,
    classes: Sequence[int],
) -> dict[int, Overlaps]:
    """Return the overlaps in one image for each class that has a detection or an object there.

    masks, scores, category [D]: the detections of the image; those with an empty mask are dropped.
    """
    area = np.asarray(hotcoco.mask.area(masks), np.float64).reshape(len(masks))
    size = np.asarray(hotcoco.mask.area(objects.masks), np.float64).reshape(len(objects.masks))
    overlaps: dict[int, Overlaps] = {}
    for number in classes:
        rows = np.flatnonzero((category == number) & (area > 0))
        columns = np.flatnonzero(objects.category == number)
        if not len(rows) and not len(columns):
            continue
        detections = [masks[row] for row in rows]
        shared = intersections(detections, area[rows], [objects.masks[column] for column in columns])
        void = intersections(detections, area[rows], [objects.void]).sum(1) if objects.void else 0.0
        is_group, is_small = objects.is_group[columns], size[columns] < MIN_PIXELS
        ignored = void + shared @ (is_group + 1.0 * is_small)  # a small group counts twice, as in the official script
        iou = shared / (area[rows][:, None] + size[columns] - shared)
        confidence = scores[rows].astype(np.float64)
        overlaps[number] = Overlaps(confidence, iou, ignored / area[rows], ~is_group & ~is_small)
    return overlaps


def intersections(detections: list[Rle], area: Floats, objects: list[Rle]) -> Floats:
    """Return [D, G] the number of common pixels; `area` [D] is that of the detections.

    The engine divides by the detection's area if the object is a crowd, which multiplication undoes exactly.
    """
    if not detections or not objects:
        return np.zeros((len(detections), len(objects)))
    parts = hotcoco.primitives.mask_iou(detections, objects, np.ones(len(objects), bool))
    return np.rint(parts * area[:, None])


def average(classes: Mapping[str, Sequence[Overlaps]]) -> Scores:
    """Return AP and AP50 in percent; a class without objects is NaN and not part of the means."""
    table = np.array([[average_precision(images, iou) for iou in THRESHOLDS] for images in classes.values()])
    rows = [{"mask/AP": 100 * float(row.mean()), "mask/AP50": 100 * float(row[0])} for row in table]
    measured = table[~np.isnan(table).any(1)]
    means = {"mask/AP": NAN, "mask/AP50": NAN}
    if len(measured):
        means = {"mask/AP": 100 * float(measured.mean()), "mask/AP50": 100 * float(measured[:, 0].mean())}
    return Scores(means, dict(zip(classes, rows, strict=True)))


def average_precision(images: Sequence[Overlaps], threshold: float) -> float:
    """Return the AP of one class at one IoU threshold; NaN without objects."""
    tp_scores, fp_scores = [np.zeros(0)], [np.zeros(0)]
    num_missed = num_objects = 0
    for overlaps in images:
        # 1. The best detection near an object is right.
        is_near = overlaps.iou > threshold
        rivals = np.where(is_near, overlaps.scores[:, None], -np.inf)[:, overlaps.counts]
        best = rivals.max(0, initial=-np.inf)
        is_found = best > -np.inf
        tp_scores.append(best[is_found])
        # 2. The others near it are wrong.
        if rivals.size:
            rivals[rivals.argmax(0), np.arange(rivals.shape[1])] = -np.inf
        fp_scores.append(rivals[rivals > -np.inf])
        # 3. So are those near no object, unless they lie in what is ignored.
        fp_scores.append(overlaps.scores[~is_near.any(1) & (overlaps.ignored_fraction <= threshold)])
        num_missed += int((~is_found).sum())
        num_objects += len(is_found)
    if not num_objects:
        return NAN
    if not any(len(overlaps.scores) for overlaps in images):
        return 0.0
    return area_under_curve(np.concatenate(tp_scores), np.concatenate(fp_scores), num_missed)


def area_under_curve(tp_scores: Floats, fp_scores: Floats, num_missed: int) -> float:
    """Return the area under the official curve: a point for each distinct score, then (recall 0, precision 1).

    A step of recall spans half of the way to both neighbours.
    """
    levels = np.unique(np.concatenate([tp_scores, fp_scores]))
    tp = len(tp_scores) - np.searchsorted(np.sort(tp_scores), levels)
    fp = len(fp_scores) - np.searchsorted(np.sort(fp_scores), levels)
    recall = np.append(tp / max(1, len(tp_scores) + num_missed), 0.0)
    precision = np.append(tp / np.maximum(tp + fp, 1), 1.0)
    widths = np.convolve(np.concatenate([recall[:1], recall, [0.0]]), [-0.5, 0, 0.5], "valid")
    return float(precision @ widths)
