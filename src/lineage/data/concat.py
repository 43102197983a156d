"""Several datasets as one training set, one after the other: data distillation (arXiv:1712.04440), section 3."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from lineage.data.annotations.skeleton import Bones
from lineage.data.annotations.validate import DatasetError
from lineage.data.samples.dataset import Dataset
from lineage.data.samples.sample import Sample

OPTIONAL = ("masks", "keypoints", "visibility", "semantic")  # what a sample may lack


class Union:
    """Samples have what all parts have: a part without masks leaves none to the others, whose heads would miss them.

    Image ids of a later part go on after those before it, where they would name two images.
    """

    def __init__(self, parts: Sequence[Dataset]) -> None:
        first = parts[0]
        for part in parts[1:]:
            if (part.classes, part.category_ids) != (first.classes, first.category_ids):
                raise DatasetError(f"datasets of different classes cannot be one: {first.classes} and {part.classes}")
        self.parts = tuple(parts)
        self.ends = list(accumulate(map(len, parts)))
        self.classes, self.category_ids = first.classes, first.category_ids
        self.lacking: dict[str, Any] = {
            name: None for name in OPTIONAL if any(getattr(part[0], name) is None for part in parts)
        }
        self.keypoints, self.mirrored = _joints(parts) if "keypoints" not in self.lacking else ((), ())
        self.skeleton: Bones = getattr(first, "skeleton", ()) if self.keypoints else ()
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


def _joints(parts: Sequence[Any]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    known = [tuple(part.keypoints) for part in parts]
    if len(set(known)) > 1:
        told = " and ".join(str(len(names)) for names in known)
        raise DatasetError(f"datasets of different keypoints cannot be one: they have {told}, or other names")
    return known[0], tuple(parts[0].mirrored)
