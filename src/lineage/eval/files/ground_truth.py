"""A ground truth as somebody else wrote it: read, and checked for what would make scores wrong without a word."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lineage.eval.files.coco_results import COMMAND, Record, ResultError, numbers, read_json

LISTS = ("images", "annotations", "categories")
ADVICE = "All defects: lineage data check --annotations"


def read_truth(path: Path) -> dict[str, Any]:
    """COCO's, LVIS's or a panoptic file."""
    truth = read_json(path)
    absent = [key for key in LISTS if not isinstance(truth, dict) or not isinstance(truth.get(key), list)]
    if absent:
        raise ResultError(f"{path} is no ground truth: it has no {', '.join(absent)}. {COMMAND}")
    if not truth["annotations"]:
        raise ResultError(f"{path}: `annotations` is empty, so no detection can be right. {COMMAND}")
    panoptic = isinstance(truth["annotations"][0], dict) and "segments_info" in truth["annotations"][0]
    for key in LISTS:
        _named(truth[key], key, path, number="image_id" if panoptic and key == "annotations" else "id")
    if not panoptic:
        _objects(truth, path)
    return dict(truth)


def _named(records: list[Any], key: str, path: Path, number: str) -> None:
    """Everything has a whole number of its own."""
    seen: set[int] = set()
    for place, one in enumerate(records):
        told = one.get(number) if isinstance(one, dict) else None
        if not isinstance(told, int):
            raise ResultError(f"{path}: {key} {place} has the {number} {told!r}, not a whole number. {ADVICE} {path}")
        if told in seen:
            raise ResultError(f"{path}: {key} {place} has the {number} {told}, as one before it. {ADVICE} {path}")
        seen.add(told)


def _objects(truth: Mapping[str, list[Record]], path: Path) -> None:
    kinds = {"image_id": "images", "category_id": "categories"}
    known = {key: {one["id"] for one in truth[kind]} for key, kind in kinds.items()}
    for one in truth["annotations"]:
        strange = [key for key, ids in known.items() if one.get(key) not in ids]
        if strange:
            told = ", ".join(f"{key} {one.get(key)!r}" for key in strange)
            raise ResultError(f"{path}: annotation {one['id']} has the unknown {told}. {ADVICE} {path}")
        if "bbox" in one and not (numbers(one["bbox"]) and len(one["bbox"]) == 4):
            raise ResultError(f"{path}: annotation {one['id']} has the bbox {one['bbox']!r}, not four numbers.")
