"""Class-aware sampling: Relay Backpropagation (arXiv:1512.05830), section 3.2; every class is drawn equally often.

A class is drawn, then one of the images that hold it. Both come from shuffled lists that start over when they are used
up, so that nothing repeats before the whole list was drawn.
"""

from __future__ import annotations

import numpy as np

from lineage.data.samples.dataset import Dataset
from lineage.data.sampling.class_presence import find_presence
from lineage.ops.random import fold_in


class ClassAwareSampler:
    """Sampler whose epoch has as many draws as there are images; images without objects are not drawn."""

    def __init__(self, dataset: Dataset, seed: int) -> None:
        presence = find_presence(dataset)
        if not len(presence.labels):
            raise ValueError("sampling=class_aware: the training images hold no object; use sampling=shuffle")
        order = np.argsort(presence.labels, kind="stable")
        _, starts = np.unique(presence.labels[order], return_index=True)
        self.images_of_class = np.split(presence.images[order], starts[1:])
        self.length = len(dataset)
        self.seed = seed

    def __call__(self, epoch: int) -> np.ndarray:
        """Return the image indices of an epoch in their order."""
        rng = np.random.Generator(np.random.PCG64(fold_in("class aware", self.seed, epoch)))
        classes = _cycle(np.arange(len(self.images_of_class)), self.length, rng)
        indices = np.zeros(self.length, np.int64)
        for label, images in enumerate(self.images_of_class):
            positions = np.flatnonzero(classes == label)
            indices[positions] = _cycle(images, len(positions), rng)
        return indices


def _cycle(values: np.ndarray, length: int, rng: np.random.Generator) -> np.ndarray:
    """Return `length` of the values, shuffled again in each round through the list."""
    rounds = -(-length // len(values))
    return np.concatenate([rng.permutation(values) for _ in range(rounds)] or [values])[:length]
