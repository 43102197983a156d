"""The detections of a round: taken batch by batch, gathered over processes, each image once, none forgotten."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lineage.eval.predictions.gather import any_rank, gather
from lineage.eval.predictions.paste import paste
from lineage.eval.predictions.predictions import NOTHING, Detected, concatenate, unique
from lineage.structures import Batch, Detections

TASKS = ("box", "mask", "keypoint", "boundary")
NEEDS = {"box": "box", "mask": "mask", "keypoint": "keypoint", "boundary": "mask"}  # a boundary is that of a mask


class IncompleteError(ValueError):
    """The images that were evaluated are not those of the dataset."""


class Collector:
    """A full COCO validation set is some 50 MB: flat columns and compressed masks, no tensors of the model."""

    def __init__(self, expected: Iterable[int], tasks: Sequence[str]) -> None:
        self.expected = np.array([*expected], np.int64)
        self.tasks = tuple(tasks)
        self._parts: list[Detected] = []
        self._produced: set[str] = set()

    def add(self, detections: Detections, batch: Batch) -> None:
        given = {"box": True, "mask": detections.masks is not None, "keypoint": detections.keypoints is not None}
        self._produced |= {task for task in self.tasks if given[NEEDS[task]]}
        self._parts += [restore(detections, batch, slot, self._produced) for slot in range(len(batch.ids))]

    def finish(self) -> tuple[Detected, list[str]]:
        """Everything found since the last time, on every process, and the tasks that it can be scored in.

        Raises IncompleteError if an image of the ground truth is missing, or one is not in it.
        """
        flags = any_rank([task in self._produced for task in TASKS])
        found = unique(gather(concatenate(self._parts)))
        self._parts, self._produced = [], set()
        complete(found.images, self.expected)
        return found, [task for task, flag in zip(TASKS, flags, strict=True) if flag]


def complete(images: NDArray[np.int64], expected: NDArray[np.int64]) -> None:
    missing = np.setdiff1d(expected, images)
    if len(missing):
        some = ", ".join(map(str, missing[:8])) + (", ..." if len(missing) > 8 else "")
        raise IncompleteError(
            f"{len(missing)} of {len(expected)} images were never evaluated: {some}. Metrics over a part of "
            "a dataset compare with nothing; evaluate all of it, or make the part a dataset of its own."
        )
    foreign = np.setdiff1d(images, expected)
    if len(foreign):
        raise IncompleteError(f"Detections for images that the ground truth does not list: {foreign[:8].tolist()}.")


def restore(detections: Detections, batch: Batch, slot: int, tasks: Iterable[str]) -> Detected:
    """The valid detections of one image of a batch, in the pixels of its file."""
    needed = {NEEDS[task] for task in tasks}
    keep = detections.valid[slot]
    height, width = batch.original_sizes[slot].tolist()
    scale_y, scale_x = (batch.original_sizes[slot].double().cpu() / batch.images.sizes[slot].double().cpu()).tolist()
    boxes = detections.boxes[slot][keep].double().cpu().numpy() * [scale_x, scale_y, scale_x, scale_y]
    boxes = np.clip(boxes, 0, [width, height, width, height]).astype(np.float32)
    found = NOTHING._replace(
        images=np.array([int(batch.ids[slot])]),
        sizes=np.array([[height, width]], dtype=np.int64),
        rows=np.array([len(boxes)]),
        boxes=boxes,
        scores=detections.scores[slot][keep].float().cpu().numpy(),
        labels=detections.labels[slot][keep].cpu().numpy(),
    )
    if "mask" in needed and detections.masks is not None:
        rles = paste(detections.masks[slot][keep].float().cpu().numpy(), boxes, (height, width))
        found = found._replace(rle=rles.text, rle_lengths=rles.lengths)
    if "keypoint" in needed and detections.keypoints is not None:
        points = detections.keypoints[slot][keep].double().cpu().numpy() * [scale_x, scale_y, 1]
        found = found._replace(keypoints=(points - [0.5, 0.5, 0]).astype(np.float32))  # centres -> COCO's indices
    return found


def records(found: Detected, category_ids: NDArray[np.int64], task: str | None = None) -> list[dict[str, Any]]:
    """COCO result records. With a task they hold its geometry only, as COCO's server expects."""
    columns: dict[str, list[Any]] = {
        "image_id": found.image_of_row().tolist(),
        "category_id": category_ids[found.labels].tolist(),
        "score": found.scores.tolist(),
    }
    needed = None if task is None else NEEDS[task]
    if needed in ("box", None):
        columns["bbox"] = found.xywh().tolist()
    if needed in ("mask", None) and len(found.rle_lengths):
        columns["segmentation"] = found.masks()
    if needed in ("keypoint", None) and found.keypoints.size:
        columns["keypoints"] = found.keypoints.reshape(len(found.scores), -1).tolist()
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
