"""Metadata of a dataset: what its labels, keypoints and semantic classes are called.

One frozen object per dataset, as detectron2's MetadataCatalog has it, but without the global: a wrapper passes the
whole object on, so it cannot lose a part, such as the keypoints' permutation of a mirrored image. A run leaves it in
`classes.json`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, TypeAlias

Skeleton: TypeAlias = tuple[tuple[int, int], ...]  # pairs of keypoints, counted from 0


@dataclass(frozen=True, slots=True)
class DatasetMeta:
    """Names and numbers of C classes, K keypoints and S semantic classes; label i is `classes[i]`.

    An empty tuple stands for metadata that the dataset does not have.
    """

    classes: tuple[str, ...]  # [C]
    category_ids: tuple[int, ...]  # [C] the id of each label in annotation and result files
    keypoints: tuple[str, ...] = ()  # [K]
    flip_indices: tuple[int, ...] = ()  # [K] the keypoint that each becomes in a mirrored image: left eye, right eye
    skeleton: Skeleton = ()  # pairs of keypoints that a picture joins by a line
    sigmas: tuple[float, ...] = ()  # [K] tolerances of COCO's keypoint similarity
    keypoint_counts: tuple[int, ...] = ()  # [C] keypoints of each class, if they differ: the first of the K slots,
    keypoint_offsets: tuple[int, ...] = ()  # [C] or those from here on, where classes share none (DeepFashion2)
    class_flip_indices: tuple[tuple[int, ...], ...] = ()  # [C][K] `flip_indices` of each class, if they differ
    stuff: tuple[str, ...] = ()  # [S] semantic classes; the first is all things together
    stuff_ids: tuple[int, ...] = ()  # [S - 1] category ids of `stuff[1:]`
    frequencies: tuple[str, ...] = ()  # [C] r, c or f: rare, common or frequent (LVIS)
    image_counts: tuple[int, ...] = ()  # [C] images that hold each class, as the annotation file states it (LVIS)

    def __post_init__(self) -> None:
        if len(self.flip_indices) != len(self.keypoints):
            raise ValueError(
                f"{len(self.keypoints)} keypoints and {len(self.flip_indices)} flip_indices: each keypoint needs the "
                "index of the one that it becomes in a mirrored image"
            )

    def without_keypoints(self) -> DatasetMeta:
        none: tuple[()] = ()
        return replace(
            self, keypoints=none, flip_indices=none, skeleton=none, sigmas=none, keypoint_counts=none,
            keypoint_offsets=none, class_flip_indices=none,
        )  # fmt: skip

    def categories(self) -> list[dict[str, Any]]:
        """Return id and name of each class, as COCO's files list them."""
        pairs = zip(self.category_ids, self.classes, strict=True)
        return [{"id": number, "name": name} for number, name in pairs]

    def keypoint_slots(self, label: int) -> range:
        """Return the slots, of all K, of the keypoints of a class."""
        count = self.keypoint_counts[label] if self.keypoint_counts else len(self.keypoints)
        first = self.keypoint_offsets[label] if self.keypoint_offsets else 0
        return range(first, first + count)


def parse_meta(content: Mapping[str, Any]) -> DatasetMeta:
    """Read the metadata from JSON, such as a run's `classes.json`; fields of other versions are left out.

    Runs of earlier versions stored `classes`, `category_ids`, `skeleton` and `stuff`, the first of them only two.
    """
    known_fields = {field.name for field in fields(DatasetMeta)}
    columns = {name: tuple(values) for name, values in content.items() if name in known_fields}
    columns["skeleton"] = tuple((first, second) for first, second in columns.get("skeleton", ()))
    columns["class_flip_indices"] = tuple(tuple(row) for row in columns.get("class_flip_indices", ()))
    return check_meta(DatasetMeta(**columns))


def check_meta(meta: DatasetMeta) -> DatasetMeta:
    """Return metadata that a file holds. Raises ValueError if its columns differ in type or length.

    A skeleton without names of keypoints is one of earlier versions, which stored no names.
    """
    texts = (*meta.classes, *meta.keypoints, *meta.stuff, *meta.frequencies)
    numbers = (*meta.category_ids, *meta.flip_indices, *meta.keypoint_counts, *meta.keypoint_offsets, *meta.stuff_ids)
    if not all(isinstance(text, str) for text in texts) or not all(isinstance(number, int) for number in numbers):
        raise ValueError("a name is no text, or an id no whole number")
    if len(meta.classes) != len(meta.category_ids):
        raise ValueError(f"{len(meta.classes)} classes and {len(meta.category_ids)} category_ids")
    slots = range(len(meta.keypoints))
    if slots and not all(end in slots for pair in meta.skeleton for end in pair):
        raise ValueError(f"the skeleton joins keypoints that are not among the {len(slots)}")
    return meta
