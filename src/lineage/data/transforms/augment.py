"""The config group `augment`, built."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lineage.data.transforms.context import Transform
from lineage.structures import Batch


@dataclass(frozen=True, slots=True)
class Augment:
    """Transforms of training and test, and the collation of samples into a batch.

    collate: (samples, rng_keys, size_divisibility=..., buckets=...) -> Batch; the last two are bound, for training.
    test_buckets: true pads test images to the buckets of training too, which is faster and gives other results.
    """

    train: Transform
    test: Transform
    collate: Callable[..., Batch]
    test_buckets: bool = False

    @property
    def buckets(self) -> Sequence[Sequence[int]]:
        """Return the sizes (height, width) that training pads to."""
        return self._bound("buckets") or ()

    @property
    def size_divisibility(self) -> int:
        """Return what divides both sides of a canvas in training."""
        return self._bound("size_divisibility") or 1

    def _bound(self, keyword: str) -> Any:
        return getattr(self.collate, "keywords", {}).get(keyword)
