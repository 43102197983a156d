"""Which classes an image holds, for all images of a dataset and without opening one: what samplers balance."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lineage.data.samples.dataset import Dataset


class Presence(NamedTuple):
    """Pairs that occur, each once, sorted by image."""

    images: np.ndarray  # [m] int64 indices of the dataset
    labels: np.ndarray  # [m] int64 in 0..C-1


def presence(dataset: Dataset) -> Presence:
    """Return each pair of an image and the label of an object on it once."""
    images, labels = np.unique(np.stack(dataset.object_labels(), 1), axis=0).T
    return Presence(images, labels)
