"""Filters of COCO records: drop what is broken, and images with nothing to learn from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lineage.data.annotations.defects import Defect

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FilteredRecords:
    """Records of an annotation file that are used, each with its position in the file's list."""

    images: Sequence[tuple[int, Record]]
    annotations: Sequence[tuple[int, Record]]


def drop_defects(content: Mapping[str, Sequence[Record]], defects: Collection[Defect]) -> FilteredRecords:
    """Return the images and annotations without a defect that costs them; annotations go with their image.

    An object with a broken mask stays, without it.
    """
    broken_images = {defect.position for defect in defects if defect.kind.drops == "image"}
    broken_objects = {defect.position for defect in defects if defect.kind.drops == "object"}
    broken_masks = {defect.position for defect in defects if defect.kind.drops == "mask"}
    images = [pair for pair in enumerate(content["images"]) if pair[0] not in broken_images]
    ids = {image["id"] for _, image in images}
    annotations = [*enumerate(content["annotations"])]
    for position in broken_masks:
        annotations[position] = position, {**annotations[position][1], "segmentation": None}
    if broken_images or broken_objects:
        annotations = [
            (position, annotation)
            for position, annotation in annotations
            if position not in broken_objects and annotation["image_id"] in ids
        ]
    return FilteredRecords(images, annotations)


def filter_images(records: FilteredRecords, min_keypoints: int) -> FilteredRecords:
    """Return the images that have a non-crowd object and at least `min_keypoints` labelled keypoints, summed."""
    keypoints: Counter[int] = Counter()
    for _, annotation in records.annotations:
        if not annotation.get("iscrowd"):
            visibility = (annotation.get("keypoints") or ())[2::3]
            keypoints[annotation["image_id"]] += sum(flag > 0 for flag in visibility)
    used = {image_id for image_id, count in keypoints.items() if count >= min_keypoints}
    return FilteredRecords(
        [(position, image) for position, image in records.images if image["id"] in used],
        [(position, annotation) for position, annotation in records.annotations if annotation["image_id"] in used],
    )
