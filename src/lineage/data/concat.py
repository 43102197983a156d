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

OPTIONAL = ("masks", "keypoints", "visibility", "semantic")  # what a sample may lack


class Union:
    """Samples have what all parts have: a part without masks leaves none to the others, whose heads would miss them.

    Image ids of a later part go on after those before it, where they would name two images.
    """

    def __init__(self, parts: Sequence[Dataset]) -> None:
        first = parts[0]
        for part in parts[1:]:
            own, others = first.meta, part.meta
            if (own.classes, own.category_ids) != (others.classes, others.category_ids):
                raise DatasetError(f"datasets of different classes cannot be one: {own.classes} and {others.classes}")
        self.parts = tuple(parts)
        self.ends = list(accumulate(map(len, parts)))
        self.lacking: dict[str, Any] = {
            name: None for name in OPTIONAL if any(getattr(part[0], name) is None for part in parts)
        }
        self.meta = _join_meta(parts, self.lacking)
        self.part_lengths = tuple(map(len, parts))
        self.source: Path | None = first.source
        self.shifts = shifts([part.ids for part in parts])
        self.ids = torch.cat([part.ids + shift for part, shift in zip(parts, self.shifts, strict=True)])
        self.sizes = torch.cat([part.sizes for part in parts])
        told = " ".join([*(part.fingerprint for part in parts), *self.lacking])
        self.fingerprint = hashlib.sha256(told.encode()).hexdigest()

    def __len__(self) -> int:
        return self.ends[-1]

    def __getitem__(self, index: int) -> Sample:
        which = bisect_right(self.ends, index)
        sample = self.parts[which][index - (self.ends[which - 1] if which else 0)]
        return sample._replace(image_id=sample.image_id + self.shifts[which], **self.lacking)

    def ground_truth(self) -> dict[str, Any]:
        truths = [part.ground_truth() for part in self.parts]
        images, annotations = [], []
        for truth, shift in zip(truths, self.shifts, strict=True):
            images += [one | {"id": one["id"] + shift} for one in truth["images"]]
            annotations += [one | {"image_id": one["image_id"] + shift} for one in truth["annotations"]]
        numbered = [one | {"id": number} for number, one in enumerate(annotations, 1)]
        return truths[0] | {"images": images, "annotations": numbered}

    def object_labels(self) -> ObjectLabels:
        starts = [0, *self.ends[:-1]]
        columns = [part.object_labels() for part in self.parts]
        images = [column.images + start for column, start in zip(columns, starts, strict=True)]
        return ObjectLabels(np.concatenate(images), np.concatenate([column.labels for column in columns]))

    def find_defects(self, progress: Callable[[Sequence[Record]], Iterable[Record]]) -> Iterator[Defect]:
        for part in self.parts:
            yield from part.find_defects(progress)


def shifts(ids: Sequence[Tensor]) -> list[int]:
    """What to add to the ids of each part, so that no two images have the same; nothing where that is so already."""
    if len(torch.cat(list(ids)).unique()) == sum(map(len, ids)):
        return [0] * len(ids)
    found: list[int] = []
    last = 0
    for one in ids:
        found.append(last + 1 - int(one.min()) if found else 0)
        last = found[-1] + int(one.max())
    return found


def _join_meta(parts: Sequence[Dataset], lacking: Collection[str]) -> DatasetMeta:
    """Return the metadata of the first part, without that of fields that some part lacks."""
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
