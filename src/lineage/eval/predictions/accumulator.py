"""Detections of an evaluation: added batch by batch, gathered over processes, each image once and none missing."""

from __future__ import annotations

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

        workers: threads that convert detections; None: one beside a GPU, and none on a CPU, where the network needs all
        cores itself.
        """
        self.expected = np.array([*expected], np.int64)
        self.tasks = tuple(tasks)
        self.workers = workers
        self._queue: WorkQueue | None = None
        self._stream: torch.cuda.Stream | None = None  # on which a GPU pastes, before the network's kernels
        self._converted: list[Predictions] = []  # batches that came in image coordinates
        self._available: set[str] = set()  # tasks whose geometry the model predicts

    def update(self, detections: Detections, batch: Batch) -> None:
        """Add the detections of a batch; those of a GPU are converted while the next batch is detected."""
        self._available |= available_tasks(detections) & {*self.tasks}
        if self._queue is None:
            is_cuda = detections.boxes.is_cuda
            self._queue = WorkQueue(int(is_cuda) if self.workers is None else self.workers)
            self._stream = torch.cuda.Stream(detections.boxes.device, priority=-1) if is_cuda else None
        self._queue.submit(_convert, copy_to_host(detections, batch), frozenset(self._available), self._stream)

    def add(self, predictions: Predictions, tasks: Iterable[str]) -> None:
        """Add the detections of a batch that are in image coordinates, with the geometry of `tasks`."""
        self._available |= {*tasks} & {*self.tasks}
        self._converted.append(predictions)

    def finish(self) -> tuple[Predictions, list[str]]:
        """Return all detections since the last call, of all processes, and the tasks that they have a geometry for.

        Raises IncompleteError if an image of the ground truth is missing, or one is not in it.
        """
        flags = any_rank([task in self._available for task in TASKS])
        batches = self._queue.finish() if self._queue is not None else []
        predictions = sort_images(gather(concatenate(self._converted + batches)))
        self._queue, self._converted, self._available = None, [], set()
        check_complete(predictions.images, self.expected)
        return predictions, [task for task, flag in zip(TASKS, flags, strict=True) if flag]


def _convert(copy: HostCopy, tasks: frozenset[str], stream: torch.cuda.Stream | None) -> Predictions:
    copy.wait()
    with torch.cuda.stream(stream):
        return to_image_coordinates(copy.detections, copy.sizes, tasks)


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
