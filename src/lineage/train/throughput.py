"""Training speed in images per second, without evaluations and checkpoints, and the share of time spent on data.

The host waits for a batch between the end of a step and the beginning of the next one. It never waits there for the
device: a GPU works on while the host fetches, so a share above zero means that the loader is slower than the device.
"""

from __future__ import annotations

import time
from typing import NamedTuple


class Speed(NamedTuple):
    """Training speed between two updates."""

    images_per_second: float
    data_wait: float  # share of the time, 0 to 1, in which the host waited for the next batch


class Throughput:
    """Meter of training speed: `add_images` every step, `update` when the host has waited for the device.

    `end_step` and `begin_step` bracket the wait for a batch.
    """

    def __init__(self) -> None:
        # totals up to the last update
        self.seconds, self.images = 0.0, 0
        # since the last update
        self._new_seconds, self._new_images, self._waited = 0.0, 0, 0.0
        self._started: float | None = None  # None while stopped
        self._step_ended: float | None = None  # None in a step, while stopped, and before the first step

    def start(self) -> None:
        self._started = time.perf_counter()

    def stop(self) -> None:
        if self._started is not None:
            self._new_seconds += time.perf_counter() - self._started
            self._started = self._step_ended = None

    def begin_step(self) -> None:
        if self._step_ended is not None:
            self._waited += time.perf_counter() - self._step_ended
            self._step_ended = None

    def end_step(self) -> None:
        self._step_ended = time.perf_counter()

    def add_images(self, count: int) -> None:
        self._new_images += count

    def update(self) -> Speed:
        """Add what is new to the totals and return its speed. Call it when the device has caught up."""
        self.stop()
        seconds = self._new_seconds
        speed = Speed(self._new_images / seconds, self._waited / seconds) if seconds else Speed(0.0, 0.0)
        self.seconds += seconds
        self.images += self._new_images
        self._new_seconds, self._new_images, self._waited = 0.0, 0, 0.0
        self.start()
        return speed
