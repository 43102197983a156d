"""Detections of an evaluation: added batch by batch, gathered over processes, each image once and none missing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import numpy as np
import torch

from lineage.eval.predictions.gather import any_rank, gather
from lineage.eval.predictions.host_copy import HostCopy, WorkQueue, copy_to_host
from lineage.eval.predictions.image_coordinates import to_image_coordinates
from lineage.eval.predictions.predictions import Ints, Predictions, concatenate, sort_images
from lineage.eval.tasks import FIELDS, TASKS
from lineage.structures import Batch, Detections

LISTED = 8  # ids that a message names


class IncompleteError(ValueError):
    """The images that were evaluated are not those of the dataset."""


class DetectionAccumulator:
    """Detections as flat columns and compressed masks, no tensors: some 50 MB for COCO's validation set."""

    def __init__(self, expected: Iterable[int], tasks: Sequence[str], workers: int | None = None) -> None:
        """Begin without detections.

        workers: threads that paste and encode masks; None: as many as the detections' device needs (`count_workers`).
        """
        self.expected = np.array([*expected], np.int64)
        self.tasks = tuple(tasks)
        self.workers = workers
        self._queue: WorkQueue | None = None
        self._available: set[str] = set()  # tasks whose geometry the model predicts

    def update(self, detections: Detections, batch: Batch) -> None:
        """Add the detections of a batch; with those of a GPU, threads work while the next batch is detected."""
        self._available |= available_tasks(detections) & {*self.tasks}
        if self._queue is None:
            self._queue = WorkQueue(count_workers(detections.boxes.device) if self.workers is None else self.workers)
        self._queue.submit(_convert, copy_to_host(detections, batch), frozenset(self._available))

    def finish(self) -> tuple[Predictions, list[str]]:
        """Return all detections since the last call, of all processes, and the tasks that they have a geometry for.

        Raises IncompleteError if an image of the ground truth is missing, or one is not in it.
        """
        flags = any_rank([task in self._available for task in TASKS])
        batches = self._queue.finish() if self._queue is not None else []
        predictions = sort_images(gather(concatenate([image for batch in batches for image in batch])))
        self._queue, self._available = None, set()
        check_complete(predictions.images, self.expected)
        return predictions, [task for task, flag in zip(TASKS, flags, strict=True) if flag]


def _convert(copy: HostCopy, tasks: frozenset[str]) -> list[Predictions]:
    copy.wait()
    return [to_image_coordinates(copy.detections, copy.sizes, slot, tasks) for slot in range(len(copy.sizes.ids))]


def count_workers(device: torch.device) -> int:
    """Return the threads that work beside a device: 0 on a CPU, where the network needs all cores itself.

    Two threads paste and encode the 100 masks of an image in 3 ms; more wait for each other, as numpy's short calls
    hold the interpreter's lock (330 images/s by two threads, 250 by four, beside an H200).
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(2, max(1, cores - 1)) if device.type == "cuda" else 0


def available_tasks(detections: Detections) -> set[str]:
    """Return the tasks whose geometry a model predicts."""
    fields = {"bbox"}
    if detections.masks is not None:
        fields.add("segmentation")
    if detections.keypoints is not None:
        fields.add("keypoints")
    return {task for task, field in FIELDS.items() if field in fields}


def check_complete(images: Ints, expected: Ints) -> None:
    """Raise IncompleteError unless `images` are all of the expected ones and no other."""
    missing = np.setdiff1d(expected, images)
    if len(missing):
        listed = ", ".join(map(str, missing[:LISTED])) + (", ..." if len(missing) > LISTED else "")
        raise IncompleteError(
            f"{len(missing)} of {len(expected)} images were never evaluated: {listed}. Metrics over a part of "
            "a dataset compare with nothing; evaluate all of it, or make the part a dataset of its own."
        )
    foreign = np.setdiff1d(images, expected)
    if len(foreign):
        listed = ", ".join(map(str, foreign[:LISTED])) + (", ..." if len(foreign) > LISTED else "")
        raise IncompleteError(f"Detections for images that the ground truth does not list: {listed}.")
