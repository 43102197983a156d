"""Mean intersection over union of a map of classes, as every semantic benchmark has it: pixels of all images pooled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

UNLABELLED = 255

Ids = NDArray[np.int64]


class Pixels(NamedTuple):
    image: Ids  # [I] ids
    counts: NDArray[np.int64]  # [I, S, 3] of each class: right, of the ground truth, of the prediction


def classes(ids: Ids, segments: Sequence[Mapping[str, Any]], stuff: Sequence[int]) -> Ids:
    """[h, w] segment ids -> the semantic class of each pixel; `stuff[class]` is a category id, 0 for things."""
    class_of = {number: place for place, number in enumerate(stuff)}
    things = class_of.get(0, UNLABELLED)
    known = {one["id"]: class_of.get(one["category_id"], things) for one in segments}
    present, index = np.unique(ids, return_inverse=True)
    return np.array([known.get(one, UNLABELLED) for one in present.tolist()])[index].reshape(ids.shape)


def count(image: int, truth: Ids, found: Ids, number: int) -> Pixels:
    """Where the ground truth has no class, nothing counts."""
    known = truth != UNLABELLED
    truth, found = truth[known], found[known]
    parts = (truth[truth == found], truth, found)
    counts = np.stack([np.bincount(part, minlength=number) for part in parts], axis=1)
    return Pixels(np.array([image]), counts[None])


def concatenate(parts: Sequence[Pixels], number: int) -> Pixels:
    nothing = Pixels(np.zeros(0, np.int64), np.zeros((0, number, 3), np.int64))
    return Pixels(*(np.concatenate(columns) for columns in zip(nothing, *parts, strict=True)))


def summary(pixels: Pixels, names: Sequence[str]) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """semantic/mIoU over the classes of the ground truth, and semantic/IoU of each, in percent; each image once."""
    right, truth, found = pixels.counts[np.unique(pixels.image, return_index=True)[1]].sum(0).T
    iou = np.where(truth > 0, 100 * right / np.maximum(truth + found - right, 1), np.nan)
    mean = float(np.nanmean(iou)) if (truth > 0).any() else float("nan")
    return {"semantic/mIoU": mean}, {name: {"semantic/IoU": float(v)} for name, v in zip(names, iou, strict=True)}
