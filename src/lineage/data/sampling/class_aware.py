"""Class-aware sampling: Relay Backpropagation (arXiv:1512.05830), section 3.2; every class is drawn equally often.

A class is drawn, then one of the images that hold it. Both come from shuffled lists that start over when they are used
up, so that within a list nothing repeats before everything was seen.
"""

from __future__ import annotations

import numpy as np

from lineage.data.samples.dataset import Dataset
from lineage.data.sampling.class_presence import presence
from lineage.ops.random import fold_in


class ClassAware:
    """An epoch is as many draws as there are images; images without objects never come up."""

    def __init__(self, dataset: Dataset, seed: int) -> None:
        present = presence(dataset)
        if not len(present.labels):
            raise ValueError("sampling=class_aware: the training images hold no object; use sampling=shuffle")
        order = np.argsort(present.labels, kind="stable")
        _, first = np.unique(present.labels[order], return_index=True)
        self.images_of = np.split(present.images[order], first[1:])
        self.length = len(dataset)
        self.seed = seed

    def __call__(self, epoch: int) -> np.ndarray:
        """The image indices of an epoch, in their order."""
        chance = np.random.Generator(np.random.PCG64(fold_in("class aware", self.seed, epoch)))
        classes = _cycle(np.arange(len(self.images_of)), self.length, chance)
        drawn = np.zeros(self.length, np.int64)
        for number, images in enumerate(self.images_of):
            places = np.flatnonzero(classes == number)
            drawn[places] = _cycle(images, len(places), chance)
        return drawn


def _cycle(values: np.ndarray, length: int, chance: np.random.Generator) -> np.ndarray:
    """So many of the values, in a new random order each time round."""
    rounds = -(-length // len(values))
    return np.concatenate([chance.permutation(values) for _ in range(rounds)] or [values])[:length]
