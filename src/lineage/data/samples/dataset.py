"""What every dataset of the project offers, whatever its format on disk."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor

from lineage.data.samples.sample import Sample


class Dataset(Protocol):
    """Annotated images. Labels are 0..C-1 in the order of `classes`; `category_ids[label]` is the file's own id."""

    classes: tuple[str, ...]
    category_ids: tuple[int, ...]
    fingerprint: str  # sha256 over the annotations and the images' names and sizes
    ids: Tensor  # [len] int64 ids of the images in the annotation file
    sizes: Tensor  # [len, 2] int64 (height, width): batches are grouped by shape without opening an image

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...

    def ground_truth(self) -> dict[str, Any]:
        """The annotations as one COCO dict (images, annotations with RLE or polygons, categories), for evaluators."""
        ...
