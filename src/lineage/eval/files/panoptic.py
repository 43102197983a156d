"""COCO's panoptic result file: a JSON of segments and, in a folder of its name, the PNGs of their ids."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lineage.eval.files.coco_results import Record, ResultError, read_json
from lineage.eval.metrics import pq
from lineage.eval.scores import Scores


def score_panoptic(results: Path, truth: Mapping[str, Any], folder: Path | None) -> Scores:
    """PQ, SQ and RQ. `truth` may name the `folder` of its PNGs, else it is as its file is named, as COCO has it."""
    predicted = _by_image(read_json(results), results)
    images = {one["image_id"] for one in truth["annotations"]}
    if missing := sorted(images - predicted.keys()):
        raise ResultError(
            f"{results}: {len(missing)} of {len(images)} images have no prediction: {missing[:8]}. "
            "An image without segments needs a record with an empty segments_info, and a black PNG."
        )
    if foreign := predicted.keys() - images:
        raise ResultError(f"{results}: {len(foreign)} images are not in the ground truth: {sorted(foreign)[:8]}.")
    known = {one["id"] for one in truth["categories"]}
    where = Path(truth["folder"]) if "folder" in truth else folder
    counts = []
    for note in truth["annotations"]:
        mine = predicted[note["image_id"]]
        if strange := {one["category_id"] for one in mine["segments_info"]} - known:
            raise ResultError(f"{results}: image {note['image_id']} has unknown category_ids {sorted(strange)[:8]}.")
        ids = (_read(where, note, results), _read(results.with_suffix(""), mine, results))
        counts.append(pq.count(note["image_id"], *ids, note["segments_info"], mine["segments_info"]))
    return Scores(*pq.summary(pq.concatenate(counts), truth["categories"]))


def _by_image(found: Any, path: Path) -> dict[int, Record]:
    """The annotations of a result. Raises ResultError for one that has not all it needs."""
    if not isinstance(found, dict) or not isinstance(found.get("annotations"), list):
        raise ResultError(f"{path}: a panoptic result is a JSON object whose annotations have segments_info.")
    predicted: dict[int, Record] = {}
    for place, one in enumerate(found["annotations"]):
        fits = isinstance(one, dict) and _whole(one, "image_id") and isinstance(one.get("file_name"), str)
        segments = one.get("segments_info") if fits else None
        if not isinstance(segments, list) or not all(_whole(each, "id", "category_id") for each in segments):
            raise ResultError(
                f"{path}: annotation {place} needs an image_id, the file_name of its PNG, and segments_info: "
                "a list of segments, each with a whole number as id and as category_id."
            )
        if one["image_id"] in predicted:
            raise ResultError(f"{path}: image {one['image_id']} has two predictions.")
        predicted[one["image_id"]] = one
    return predicted


def _whole(record: Any, *fields: str) -> bool:
    return isinstance(record, dict) and all(isinstance(record.get(field), int) for field in fields)


def _read(folder: Path | None, note: Mapping[str, Any], results: Path) -> np.ndarray:
    path = (folder or results.parent) / note["file_name"]
    try:
        with Image.open(path) as file:
            return pq.read_ids(np.asarray(file.convert("RGB")))
    except OSError as error:
        raise ResultError(
            f"{path}: cannot be read ({error}). The PNGs lie in a folder that is named as their JSON file."
        ) from error
