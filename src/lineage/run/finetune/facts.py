"""Facts of a dataset that the choices of a fine-tuning depend on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lineage.config.build import ConfigError
from lineage.config.compose import compose_config
from lineage.data.annotations.columns import Points, has_mask
from lineage.data.annotations.indexed_dataset import IndexedDataset
from lineage.results.paths import train_command
from lineage.run.repeated_warnings import print_warnings_once
from lineage.run.splits import build_train, build_val
from lineage.run.task import find_task
from lineage.structures import DETECTION


@dataclass(frozen=True, slots=True)
class DataFacts:
    """Numbers of a training set and of its validation images."""

    name: str  # of the dataset option
    images: int  # to train on
    val_images: int
    classes: tuple[str, ...]
    masked: float  # share of the objects that have a mask
    keypoints: int  # names of the classes' keypoints
    sizes: NDArray[np.int64]  # [images, 2] height, width of the files
    boxes: NDArray[np.float64]  # [n, 2] height, width of the objects, divided by the short side of their image
    with_keypoints: int = 0  # objects that have at least one labelled keypoint
    left_out: int = 0  # images of the training set without objects, which the dataset leaves out

    @property
    def objects(self) -> int:
        return len(self.boxes)

    @property
    def short_side(self) -> int:
        """Return the median of the short sides in pixels."""
        return int(np.median(self.sizes.min(1)))


def read_facts(overrides: Sequence[str]) -> DataFacts:
    """Open the dataset that overrides name. Raises ConfigError for one that is drawn, DatasetError for defects."""
    print_warnings_once()
    config = compose_config([text for text in overrides])
    os.environ["LINEAGE_CACHE"] = config.paths.cache  # where the index lies that the run reads too
    train, val = build_train(config), build_val(config)
    if find_task(train) != DETECTION:
        raise ConfigError(
            f"finetune: dataset={config.dataset.name} has videos, and recipes are of detectors; "
            f"`{train_command()} model=dvtsr dataset={config.dataset.name}` trains on them"
        )
    if not isinstance(train, IndexedDataset):
        raise ConfigError(
            f"finetune: dataset={config.dataset.name} is drawn, not read from files; train on it as it is"
        )
    columns, sizes = train.columns, train.sizes.numpy()
    owners = np.repeat(np.arange(len(train)), np.diff(columns.offsets))
    heights_widths = (columns.boxes[:, 2:] - columns.boxes[:, :2]).astype(np.float64)[:, ::-1]
    boxes = heights_widths / sizes[owners].min(1, keepdims=True)
    is_object = ~columns.crowd & (boxes > 0).all(1)
    masked = 0.0 if columns.masks is None else float(has_mask(columns).mean())
    whole = build_train(config, filter_empty=False) if config.dataset.train.get("filter_empty") else train
    return DataFacts(
        name=config.dataset.name,
        images=len(train),
        val_images=0 if val is None else len(val),
        classes=train.meta.classes,
        masked=masked,
        keypoints=0 if columns.keypoints is None else len(train.meta.keypoints),
        sizes=sizes,
        boxes=boxes[is_object],
        with_keypoints=0 if columns.keypoints is None else int((is_object & has_keypoints(columns.keypoints)).sum()),
        left_out=len(whole) - len(train),
    )


def has_keypoints(points: Points) -> NDArray[np.bool_]:
    """Return [n] whether each object has a labelled keypoint."""
    labelled = np.concatenate([[0], np.cumsum(points.values[:, 2] > 0)])
    return np.diff(labelled[points.offsets]) > 0
