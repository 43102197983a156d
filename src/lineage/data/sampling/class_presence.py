"""The classes of every image of a dataset, without opening an image: samplers balance them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lineage.data.samples.dataset import Dataset


class Presence(NamedTuple):
    """Pairs of an image and a class that it holds, each once, sorted by image."""

    images: np.ndarray  # [m] int64 indices of the dataset
    labels: np.ndarray  # [m] int64 in 0..C-1


def find_presence(dataset: Dataset) -> Presence:
    """Return each pair of an image and the label of an object on it once."""
    images, labels = np.unique(np.stack(dataset.object_labels(), 1), axis=0).T
    return Presence(images, labels)
