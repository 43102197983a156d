"""Sentences that go with scores: why metrics are absent, and where they deviate from the official code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from lineage.eval.scored_document import scores_masks

Notes = tuple[str, ...]

NO_OBJECTS = "The ground truth has no objects, so no metric can be measured."


def empty_notes(document: Mapping[str, Any]) -> Notes:
    return () if document["annotations"] else (NO_OBJECTS,)


def limit_notes(document: Mapping[str, Any], task: str, limit: int) -> Notes:
    """Note objects that cannot be found because an image has more of a class than detections count."""
    objects = Counter(
        (annotation["image_id"], annotation["category_id"])
        for annotation in document["annotations"]
        if not annotation.get("iscrowd")
    )
    beyond = {key: count - limit for key, count in objects.items() if count > limit}
    if not beyond:
        return ()
    images = len({image for image, _ in beyond})
    return (
        f"{task}: {limit} detections of a class count in an image, so {sum(beyond.values())} objects of {images} "
        f"images cannot be found and AP stays below 100. Another limit: max_detections={max(objects.values())} "
        "(lineage evaluate --max-detections).",
    )


def mask_notes(document: Mapping[str, Any], task: str) -> Notes:
    """Note objects without a mask where masks are scored."""
    if not scores_masks(task):
        return ()
    lacking = sum(not annotation.get("segmentation") for annotation in document["annotations"])
    if not lacking:
        return ()
    return (
        f"{task}: {lacking} of {len(document['annotations'])} objects have no mask; detections inside their boxes are "
        "ignored.",
    )


def id_notes(document: Mapping[str, Any], official: str) -> Notes:
    """Note an object whose match the official code cannot store, because it marks unmatched detections by 0."""
    if not any(annotation["id"] == 0 for annotation in document["annotations"]):
        return ()
    return (
        f"deviates: the object with id 0 counts like the others; {official} takes each detection of it for wrong. "
        "Ids from 1 on make both equal.",
    )


def record_notes(records: Sequence[Mapping[str, Any]], field: str, task: str) -> Notes:
    """Note what a result file makes ambiguous: records without the geometry that is scored, or with a box beside it."""
    lacking = sum(record.get(field) is None for record in records)
    has_boxes = field != "bbox" and any(record.get("bbox") is not None for record in records)
    notes = []
    if lacking:
        notes.append(f"{task}: {lacking} of {len(records)} records have no {field} and are left out.")
    if has_boxes:
        notes.append(
            f"deviates: the size of a {task} is its own; pycocotools takes that of `bbox` where a record has one. "
            "Without `bbox` both are equal."
        )
    return tuple(notes)
