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
    """From the columns of the annotations where a dataset keeps them, else from its ground truth."""
    columns = getattr(dataset, "columns", None)
    if columns is not None:
        images = np.repeat(np.arange(len(dataset)), np.diff(columns.first))
        pairs = np.stack([images, np.asarray(columns.labels)], 1)
    else:
        pairs = _annotated(dataset)
    images, labels = np.unique(pairs.astype(np.int64).reshape(-1, 2), axis=0).T
    return Presence(images, labels)


def _annotated(dataset: Dataset) -> np.ndarray:
    truth = dataset.ground_truth()
    place = {image["id"]: i for i, image in enumerate(truth["images"])}
    label = {category: i for i, category in enumerate(dataset.category_ids)}
    return np.array([(place[one["image_id"]], label[one["category_id"]]) for one in truth["annotations"]])
