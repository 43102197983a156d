"""The config group `augment`, built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lineage.data.transforms.context import Transform
from lineage.structures import Batch


@dataclass(frozen=True, slots=True)
class Augment:
    """Transforms of training and test, and the collation of samples into a batch."""

    train: Transform
    test: Transform
    collate: Callable[..., Batch]  # (samples, rng_keys) -> Batch
