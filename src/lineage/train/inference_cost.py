"""Cost of inference per image: the multiply-adds (MACs) of the first batch, the milliseconds of all others.

Measured during the evaluation itself, so that views (tta), proposals and the size of images are those of the row.
Loading, pasting of masks and scoring are left out: papers time the network.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from lineage.structures import Detections, Images


class InferenceCost:
    """Meter of multiply-adds and of time per image. On a GPU events take the time, so that the loop does not wait."""

    def __init__(self) -> None:
        self.macs: float | None = None  # of one image, padding included: convolutions and matrix products
        self.images = 0  # of all batches but the first
        self._seconds = 0.0
        self._events: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []  # before and after a batch

    @property
    def seconds(self) -> float:
        """Return the time of all batches but the first; waits for the last of them."""
        for before, after in self._events:
            after.synchronize()
            self._seconds += before.elapsed_time(after) / 1000
        self._events = []
        return self._seconds

    @property
    def image_ms(self) -> float | None:
        return 1000 * self.seconds / self.images if self.images else None

    def measure(self, detect: Callable[[Images], Detections], images: Images) -> Detections:
        """Run `detect`. The first batch is used to count multiply-adds (and as warm-up); later batches are timed."""
        batch_size = len(images.sizes)
        if self.macs is None:
            counter = FlopCounterMode(display=False)
            with counter:
                detections = detect(images)
            self.macs = counter.get_total_flops() / 2 / batch_size  # torch counts a multiply-add as two
            return detections
        self.images += batch_size
        if images.sizes.is_cuda:
            before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            before.record(torch.cuda.current_stream(images.sizes.device))
            detections = detect(images)
            after.record(torch.cuda.current_stream(images.sizes.device))
            self._events.append((before, after))
            return detections
        started = time.perf_counter()
        detections = detect(images)
        self._seconds += time.perf_counter() - started
        return detections
