"""Training speed in images per second, without evaluations and checkpoints."""

from __future__ import annotations

import time


class Throughput:
    """Meter of training speed: `add_images` every step, `update` when the host has waited for the device."""

    def __init__(self) -> None:
        # totals up to the last update
        self.seconds, self.images = 0.0, 0
        # since the last update
        self._new_seconds, self._new_images = 0.0, 0
        self._started: float | None = None  # None while stopped

    def start(self) -> None:
        self._started = time.perf_counter()

    def stop(self) -> None:
        if self._started is not None:
            self._new_seconds += time.perf_counter() - self._started
            self._started = None

    def add_images(self, count: int) -> None:
        self._new_images += count

    def update(self) -> float:
        """Add what is new to the totals and return its images per second. Call it when the device has caught up."""
        self.stop()
        speed = self._new_images / self._new_seconds if self._new_seconds else 0.0
        self.seconds += self._new_seconds
        self.images += self._new_images
        self._new_seconds, self._new_images = 0.0, 0
        self.start()
        return speed
