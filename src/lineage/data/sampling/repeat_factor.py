"""Repeat-factor sampling: LVIS (arXiv:1908.03195), appendix B.2; images of rare classes are repeated.

r(I) = max over the classes c in image I of max(1, sqrt(t / f(c))),   f(c) = share of the images that hold c
"""

from __future__ import annotations

import numpy as np

from lineage.data.samples.dataset import Dataset
from lineage.data.sampling.class_presence import Presence, find_presence
from lineage.ops.random import fold_in


class RepeatFactorSampler:
    """Sampler that repeats an image r(I) times per epoch; fractions are rounded at random, as detectron2 does."""

    def __init__(self, dataset: Dataset, seed: int, *, threshold: float) -> None:
        self.factors = compute_repeat_factors(find_presence(dataset), len(dataset), threshold)
        self.seed = seed

    def __call__(self, epoch: int) -> np.ndarray:
        """Return the image indices of an epoch in their order."""
        rng = np.random.Generator(np.random.PCG64(fold_in("repeat", self.seed, epoch)))
        floor = np.floor(self.factors)
        repeats = floor + (rng.random(len(floor)) < self.factors - floor)
        return rng.permutation(np.repeat(np.arange(len(floor)), repeats.astype(np.int64)))


def compute_repeat_factors(presence: Presence, images: int, threshold: float) -> np.ndarray:
    """Return r(I), [images] float64; it is 1 for an image without objects."""
    counts = np.bincount(presence.labels, minlength=1)
    with np.errstate(divide="ignore"):  # a class without images has an infinite factor, which no image uses
        of_class = np.maximum(1.0, np.sqrt(threshold * images / counts))
    factors = np.ones(images)
    np.maximum.at(factors, presence.images, of_class[presence.labels])
    return factors
