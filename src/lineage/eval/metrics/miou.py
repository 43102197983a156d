"""Mean intersection over union of a map of classes, as every semantic benchmark has it: pixels of all images pooled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lineage.eval.scores import Scores, nan_mean
from lineage.structures import UNLABELLED

Ids = NDArray[np.int64]


class PixelCounts(NamedTuple):
    image: Ids  # [I] ids
    counts: NDArray[np.int64]  # [I, S, 3] pixels of each class: right, in the ground truth, in the prediction


def semantic_map(ids: Ids, segments: Sequence[Mapping[str, Any]], stuff: Sequence[int]) -> Ids:
    """Return [h, w] the semantic class of each pixel of a map of segment ids.

    `stuff[class]` is a category id, 0 for all things. Pixels of no segment are UNLABELLED.
    """
    class_of = {number: label for label, number in enumerate(stuff)}
    things = class_of.get(0, UNLABELLED)
    class_of_segment = {segment["id"]: class_of.get(segment["category_id"], things) for segment in segments}
    present, index = np.unique(ids, return_inverse=True)
    return np.array([class_of_segment.get(number, UNLABELLED) for number in present.tolist()])[index].reshape(ids.shape)


def count(image: int, truth: Ids, predicted: Ids, num_classes: int) -> PixelCounts:
    """Count the pixels of each class in one image, leaving out those that the ground truth does not label."""
    labelled = truth != UNLABELLED
    truth, predicted = truth[labelled], predicted[labelled]
    columns = (truth[truth == predicted], truth, predicted)
    counts = np.stack([np.bincount(column, minlength=num_classes) for column in columns], axis=1)
    return PixelCounts(np.array([image]), counts[None])


def concatenate(parts: Sequence[PixelCounts], num_classes: int) -> PixelCounts:
    """Join the counts of several images."""
    nothing = PixelCounts(np.zeros(0, np.int64), np.zeros((0, num_classes, 3), np.int64))
    return PixelCounts(*(np.concatenate(columns) for columns in zip(nothing, *parts, strict=True)))


def summarize(pixels: PixelCounts, names: Sequence[str]) -> Scores:
    """Return semantic/mIoU over the classes of the ground truth, and semantic/IoU of each, in percent.

    Images that were counted twice count once.
    """
    first = np.unique(pixels.image, return_index=True)[1]
    right, truth, predicted = pixels.counts[first].sum(0).T
    iou = np.where(truth > 0, 100 * right / np.maximum(truth + predicted - right, 1), np.nan)
    per_class = {name: {"semantic/IoU": float(value)} for name, value in zip(names, iou, strict=True)}
    return Scores({"semantic/mIoU": nan_mean(iou)}, per_class)
