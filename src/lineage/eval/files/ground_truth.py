"""A ground truth that others wrote: read, and checked for defects that would make scores wrong in silence."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lineage.eval.files.json_file import COMMAND, Record, ResultError, is_numbers, read_json

LISTS = ("images", "annotations", "categories")
REFERENCES = {"image_id": "images", "category_id": "categories"}


def advise(path: Path) -> str:
    """Return the command that lists the defects of a file."""
    return f"All defects: {shlex.join(['lineage', 'data', 'check', '--annotations', str(path)])}"


def read_ground_truth(path: Path) -> dict[str, Any]:
    """Return the document of a COCO, LVIS or panoptic file. Raises ResultError."""
    document = read_json(path)
    check_ground_truth(document, path)
    return dict(document)


def check_ground_truth(document: Any, path: Path) -> None:
    """Raise ResultError for the first record that cannot be scored against; there may be no annotations at all."""
    absent = [key for key in LISTS if not isinstance(document, dict) or not isinstance(document.get(key), list)]
    if absent:
        raise ResultError(f"{path} is no ground truth: it has no {', '.join(absent)}. {COMMAND}")
    first = next(iter(document["annotations"]), None)
    is_panoptic = isinstance(first, dict) and "segments_info" in first
    for key in LISTS:
        _check_ids(document[key], key, path, field="image_id" if is_panoptic and key == "annotations" else "id")
    if not is_panoptic:
        _check_objects(document, path)


def _check_ids(records: list[Any], key: str, path: Path, field: str) -> None:
    """Raise ResultError unless each record has a whole number of its own in `field`."""
    used: set[int] = set()
    for index, record in enumerate(records):
        number = record.get(field) if isinstance(record, dict) else None
        if not isinstance(number, int):
            raise ResultError(f"{path}: {key} {index} has the {field} {number!r}, not a whole number. {advise(path)}")
        if number in used:
            raise ResultError(f"{path}: {key} {index} has the {field} {number}, as one before it. {advise(path)}")
        used.add(number)


def _check_objects(document: Mapping[str, list[Record]], path: Path) -> None:
    ids = {key: {record["id"] for record in document[kind]} for key, kind in REFERENCES.items()}
    for annotation in document["annotations"]:
        unknown = [f"{key} {annotation.get(key)!r}" for key in REFERENCES if annotation.get(key) not in ids[key]]
        if unknown:
            raise ResultError(
                f"{path}: annotation {annotation['id']} has the unknown {', '.join(unknown)}. {advise(path)}"
            )
        box = annotation.get("bbox")  # completed from the mask or the keypoints if it is missing
        if box is not None and not (is_numbers(box) and len(box) == 4):
            raise ResultError(f"{path}: annotation {annotation['id']} has the bbox {box!r}, not four numbers.")
