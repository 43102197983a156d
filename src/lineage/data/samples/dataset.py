"""The interface of a dataset: everything that the rest of the project reads of one, whatever its format on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lineage.data.samples.metadata import DatasetMeta
from lineage.data.samples.sample import Sample

if TYPE_CHECKING:
    from lineage.data.annotations.defects import Defect, Record


class ObjectLabels(NamedTuple):
    """The image and the label of n annotated objects, crowds included."""

    images: NDArray[np.int64]  # [n] indices of the dataset
    labels: NDArray[np.int64]  # [n] in 0..C-1


class Dataset(Protocol):
    """Annotated images. Labels are 0..C-1; `meta` names them."""

    meta: DatasetMeta
    fingerprint: str  # sha256 over the annotations and the images' names and sizes
    ids: Tensor  # [len] int64 ids of the images in the annotation file
    sizes: Tensor  # [len, 2] int64 (height, width): batches are grouped by shape without opening an image
    part_lengths: tuple[int, ...]  # images of each dataset that this one concatenates; (len,) otherwise
    source: Path | None  # the annotation file or folder, for messages; None if images are generated

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...

    def ground_truth(self) -> dict[str, Any]:
        """Return the annotations as one COCO dict (images, annotations with RLE or polygons, categories)."""
        ...

    def object_labels(self) -> ObjectLabels:
        """Return the labels of all objects without opening an image."""
        ...

    def find_defects(self, progress: Callable[[Sequence[Record]], Iterable[Record]]) -> Iterator[Defect]:
        """Yield every defect of the records and of the image files, all of which are decoded.

        `progress` wraps the records of the images to show how many are done.
        """
        ...


class GroundTruth(Protocol):
    """The part of a dataset that evaluators read."""

    @property
    def meta(self) -> DatasetMeta: ...

    def ground_truth(self) -> dict[str, Any]:
        """Return the objects as one COCO dict and, if there is stuff, COCO's panoptic document under `panoptic`.

        That document holds images, annotations with file_name and segments_info, categories with isthing, and the
        `folder` of its PNGs. A dataset without files gives `ids` [h, w] in place of each file_name.
        """
        ...


def read_object_labels(ground_truth: Mapping[str, Any], category_ids: Sequence[int]) -> ObjectLabels:
    """Return the labels of the objects of a COCO dict, for datasets that store no columns."""
    positions = {image["id"]: position for position, image in enumerate(ground_truth["images"])}
    labels = {category: label for label, category in enumerate(category_ids)}
    annotations = ground_truth["annotations"]
    images = np.array([positions[annotation["image_id"]] for annotation in annotations], np.int64)
    return ObjectLabels(images, np.array([labels[annotation["category_id"]] for annotation in annotations], np.int64))
