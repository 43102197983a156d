"""What testing costs per image: the multiply-adds of its first batch, the milliseconds of all others.

Counted and timed where the test itself runs, so that views (tta), proposals and the size of images are those of the
row. Loading, pasting of masks and scoring are left out: papers time the network.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from lineage.structures import Detections, Images


class Toll:
    def __init__(self) -> None:
        self.multiply_adds: float | None = None  # of one image, padding included: convolutions and matrix products
        self.seconds, self.images = 0.0, 0

    @property
    def image_ms(self) -> float | None:
        return 1000 * self.seconds / self.images if self.images else None

    def taken(self, detect: Callable[[Images], Detections], images: Images) -> Detections:
        """The detections. The first batch also warms up caches and compilers, so it is counted and not timed."""
        batch = len(images.sizes)
        if self.multiply_adds is None:
            counter = FlopCounterMode(display=False)
            with counter:
                found = detect(images)
            self.multiply_adds = counter.get_total_flops() / 2 / batch  # torch counts a multiply-add as two
            return found
        started = _now(images.sizes.device)
        found = detect(images)
        self.seconds += _now(images.sizes.device) - started
        self.images += batch
        return found


def _now(device: torch.device) -> float:
    """When the device has caught up."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
