"""Several datasets as one training set, one after the other: data distillation (arXiv:1712.04440), section 3."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lineage.data.annotations.defects import Defect, Record
from lineage.data.annotations.validate import DatasetError
from lineage.data.samples.dataset import Dataset, ObjectLabels
from lineage.data.samples.metadata import DatasetMeta
from lineage.data.samples.sample import Sample

OPTIONAL = ("masks", "keypoints", "visibility", "semantic")  # fields that a sample may lack


class ConcatDataset:
    """A concatenation of datasets with the same classes.

    An optional field (masks, keypoints, semantic) is None in all samples unless every part provides it: a head would
    miss it in the others. If image ids of two parts are equal, those of the later part are shifted.
    """

    def __init__(self, parts: Sequence[Dataset]) -> None:
        first = parts[0].meta
        for part in parts[1:]:
            if (part.meta.classes, part.meta.category_ids) != (first.classes, first.category_ids):
                raise DatasetError(
                    f"datasets of different classes cannot be one: {first.classes} and {part.meta.classes}"
                )
        self.parts = tuple(parts)
        self.part_lengths = tuple(map(len, parts))
        self.ends = list(accumulate(self.part_lengths))
        self.lacking: dict[str, Any] = {
            name: None for name in OPTIONAL if any(getattr(part[0], name) is None for part in parts)
        }
        self.meta = _join_meta(parts, self.lacking)
        self.id_shifts = find_id_shifts([part.ids for part in parts])
        self.ids = torch.cat([part.ids + shift for part, shift in zip(parts, self.id_shifts, strict=True)])
        self.sizes = torch.cat([part.sizes for part in parts])
        self.source: Path | None = parts[0].source
        identity = " ".join([*(part.fingerprint for part in parts), *self.lacking])
        self.fingerprint = hashlib.sha256(identity.encode()).hexdigest()

    def __len__(self) -> int:
        return self.ends[-1]

    def __getitem__(self, index: int) -> Sample:
        part = bisect_right(self.ends, index)
        sample = self.parts[part][index - (self.ends[part - 1] if part else 0)]
        return sample._replace(image_id=sample.image_id + self.id_shifts[part], **self.lacking)

    def ground_truth(self) -> dict[str, Any]:
        truths = [part.ground_truth() for part in self.parts]
        images, annotations = [], []
        for truth, shift in zip(truths, self.id_shifts, strict=True):
            images += [image | {"id": image["id"] + shift} for image in truth["images"]]
            annotations += [record | {"image_id": record["image_id"] + shift} for record in truth["annotations"]]
        numbered = [record | {"id": number} for number, record in enumerate(annotations, 1)]
        return truths[0] | {"images": images, "annotations": numbered}

    def object_labels(self) -> ObjectLabels:
        starts = [0, *self.ends[:-1]]
        columns = [part.object_labels() for part in self.parts]
        images = [column.images + start for column, start in zip(columns, starts, strict=True)]
        return ObjectLabels(np.concatenate(images), np.concatenate([column.labels for column in columns]))

    def find_defects(self, progress: Callable[[Sequence[Record]], Iterable[Record]]) -> Iterator[Defect]:
        for part in self.parts:
            yield from part.find_defects(progress)


def find_id_shifts(ids: Sequence[Tensor]) -> list[int]:
    """Return a number for each part to add to its image ids, so that all differ; zeros if they differ already."""
    if len(torch.cat(list(ids)).unique()) == sum(map(len, ids)):
        return [0] * len(ids)
    shifts: list[int] = []
    last = 0
    for part_ids in ids:
        shifts.append(last + 1 - int(part_ids.min()) if shifts else 0)
        last = shifts[-1] + int(part_ids.max())
    return shifts


def _join_meta(parts: Sequence[Dataset], lacking: Collection[str]) -> DatasetMeta:
    """Return the metadata of the first part, without that of fields that a part lacks."""
    meta = parts[0].meta
    if "semantic" in lacking:
        meta = replace(meta, stuff=(), stuff_ids=())
    if "keypoints" in lacking:
        return meta.without_keypoints()
    names = [part.meta.keypoints for part in parts]
    if len(set(names)) > 1:
        counts = " and ".join(str(len(keypoints)) for keypoints in names)
        raise DatasetError(f"datasets of different keypoints cannot be one: they have {counts}, or other names")
    return meta
