"""Repeat-factor sampling: LVIS (arXiv:1908.03195), appendix B.2; the classes with few images are seen more often.

r(I) = max over the classes c in image I of max(1, sqrt(t / f(c))),   f(c) = share of the images that hold c
"""

from __future__ import annotations

import numpy as np

from lineage.data.samples.dataset import Dataset
from lineage.data.sampling.class_presence import Presence, presence
from lineage.ops.random import fold_in


class RepeatFactor:
    """An epoch shows an image r(I) times, the fraction by chance: detectron2's stochastic rounding."""

    def __init__(self, dataset: Dataset, seed: int, *, threshold: float) -> None:
        self.factors = factors(presence(dataset), len(dataset), threshold)
        self.seed = seed

    def __call__(self, epoch: int) -> np.ndarray:
        """The image indices of an epoch, in their order."""
        chance = np.random.Generator(np.random.PCG64(fold_in("repeat", self.seed, epoch)))
        whole = np.floor(self.factors)
        times = whole + (chance.random(len(whole)) < self.factors - whole)
        return chance.permutation(np.repeat(np.arange(len(whole)), times.astype(np.int64)))


def factors(present: Presence, images: int, threshold: float) -> np.ndarray:
    """[images] float64, 1 for an image without objects."""
    counts = np.bincount(present.labels, minlength=1)
    with np.errstate(divide="ignore"):  # a class that no image holds is nobody's maximum
        of_class = np.maximum(1.0, np.sqrt(threshold * images / counts))
    found = np.ones(images)
    np.maximum.at(found, present.images, of_class[present.labels])
    return found
