"""How fast training goes, not counting evaluations and checkpoints."""

from __future__ import annotations

import time


class Stopwatch:
    def __init__(self) -> None:
        self.seconds, self.images = 0.0, 0
        self._lap_seconds, self._lap_images = 0.0, 0
        self._started: float | None = None

    def start(self) -> None:
        self._started = time.perf_counter()

    def stop(self) -> None:
        if self._started is not None:
            self._lap_seconds += time.perf_counter() - self._started
            self._started = None

    def count(self, images: int) -> None:
        self._lap_images += images

    def lap(self) -> float:
        """Images per second since the last lap; call it when the device has caught up."""
        self.stop()
        speed = self._lap_images / self._lap_seconds if self._lap_seconds else 0.0
        self.seconds += self._lap_seconds
        self.images += self._lap_images
        self._lap_seconds, self._lap_images = 0.0, 0
        self.start()
        return speed
