"""Detections on their way from the device to a worker thread, so that the loop over a dataset waits for neither.

A copy to pinned memory is queued behind the network's work and waited for by the thread that needs it. Masks stay on a
GPU, which pastes them itself. Detections that are on the CPU already are taken as they are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lineage.structures import Batch, Detections


class ImageSizes(NamedTuple):
    """Sizes of the images of a batch, in their canvases and as files."""

    ids: Tensor  # [B] int64 image ids
    canvas: Tensor  # [B, 2] float32 (height, width) of the content in the canvas
    files: Tensor  # [B, 2] int64 (height, width) of the files


class HostCopy(NamedTuple):
    """Detections whose copy to the CPU has begun."""

    detections: Detections  # on the CPU once `ready` has passed; masks of a GPU stay there
    sizes: ImageSizes
    ready: torch.cuda.Event | None  # None: they are there

    def wait(self) -> None:
        """Return once the copy is complete."""
        if self.ready is not None:
            self.ready.synchronize()


def sizes_of(batch: Batch) -> ImageSizes:
    """Return the ids and sizes of the images of a batch."""
    return ImageSizes(batch.ids, batch.images.sizes, batch.original_sizes)


def copy_to_host(detections: Detections, batch: Batch) -> HostCopy:
    """Begin to copy what evaluation reads; the device works on."""
    empty = torch.empty(0)  # class probabilities, maps of stuff and indices stay where they are
    needed = detections._replace(proposal_index=empty, probabilities=empty, semantic=None, masks=None)
    device = detections.boxes.device
    masks = detections.masks if device.type == "cuda" else _copy(detections.masks)
    host = Detections(*(_copy(field) for field in needed))._replace(masks=masks)
    sizes = ImageSizes(*(_copy(field) for field in sizes_of(batch)))
    if device.type != "cuda":
        return HostCopy(host, sizes, None)
    ready = torch.cuda.Event()
    ready.record(torch.cuda.current_stream(device))
    return HostCopy(host, sizes, ready)


def _copy(field: Any) -> Any:
    if isinstance(field, dict):
        return {name: _copy(value) for name, value in field.items()}
    return field.to("cpu", non_blocking=True) if isinstance(field, Tensor) else field


class WorkQueue:
    """Calls of a function by worker threads; results come in the order of the calls.

    workers: threads; 0: `submit` computes at once. At most `4 * workers` calls wait, so that memory stays bounded: the
    next one waits for the oldest. An exception of a call is raised by a later `submit` or by `finish`.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._threads: ThreadPoolExecutor | None = None
        self._pending: deque[Future[Any]] = deque()
        self._results: list[Any] = []

    def submit(self, function: Callable[..., Any], *arguments: Any) -> None:
        if not self.workers:
            self._results.append(function(*arguments))
            return
        self._threads = self._threads or ThreadPoolExecutor(self.workers, thread_name_prefix="evaluation")
        while self._pending and (self._pending[0].done() or len(self._pending) >= 4 * self.workers):
            self._results.append(self._pending.popleft().result())
        self._pending.append(self._threads.submit(function, *arguments))

    def finish(self) -> list[Any]:
        """Return all results since the last call, and end the threads."""
        pending, results = self._pending, self._results
        self._pending, self._results = deque(), []
        try:
            return results + [call.result() for call in pending]
        finally:
            if self._threads is not None:
                self._threads.shutdown(cancel_futures=True)
                self._threads = None
