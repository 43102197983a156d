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
    """Meter of multiply-adds and of time per image."""

    def __init__(self) -> None:
        self.macs: float | None = None  # of one image, padding included: convolutions and matrix products
        self.seconds, self.images = 0.0, 0  # of all batches but the first

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
        started = _read_clock(images.sizes.device)
        detections = detect(images)
        self.seconds += _read_clock(images.sizes.device) - started
        self.images += batch_size
        return detections


def _read_clock(device: torch.device) -> float:
    """Wait for the device and return the time in seconds."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
