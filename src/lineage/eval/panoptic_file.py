"""COCO's panoptic result file: a JSON of segments and, in a folder of its name, the PNGs of their ids."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lineage.eval import pq
from lineage.eval.records import ResultError, read_json
from lineage.eval.score import Scores


def score_panoptic(results: Path, truth: Mapping[str, Any], folder: Path | None) -> Scores:
    """PQ, SQ and RQ. `truth` may name the `folder` of its PNGs, else it is as its file is named, as COCO has it."""
    found = read_json(results)
    if not isinstance(found, dict) or not all("segments_info" in one for one in found.get("annotations", [{}])):
        raise ResultError(f"{results}: a panoptic result is a JSON object whose annotations have segments_info.")
    predicted = {one["image_id"]: one for one in found["annotations"]}
    missing = [one["image_id"] for one in truth["annotations"] if one["image_id"] not in predicted]
    if missing:
        raise ResultError(
            f"{results}: {len(missing)} of {len(truth['annotations'])} images have no prediction: {missing[:8]}. "
            "An image without segments needs a record with an empty segments_info, and a black PNG."
        )
    known = {one["id"] for one in truth["categories"]}
    where = Path(truth["folder"]) if "folder" in truth else folder
    counts = []
    for note in truth["annotations"]:
        mine = predicted[note["image_id"]]
        foreign = {one["category_id"] for one in mine["segments_info"]} - known
        if foreign:
            raise ResultError(f"{results}: image {note['image_id']} has unknown category_ids {sorted(foreign)[:8]}.")
        ids = (_read(where, note, results), _read(results.with_suffix(""), mine, results))
        counts.append(pq.count(note["image_id"], *ids, note["segments_info"], mine["segments_info"]))
    return Scores(*pq.summary(pq.concatenate(counts), truth["categories"]))


def _read(folder: Path | None, note: Mapping[str, Any], results: Path) -> np.ndarray:
    path = (folder or results.parent) / note["file_name"]
    try:
        with Image.open(path) as file:
            return pq.read_ids(np.asarray(file.convert("RGB")))
    except OSError as error:
        raise ResultError(
            f"{path}: cannot be read ({error}). The PNGs lie in a folder that is named as their JSON file."
        ) from error
