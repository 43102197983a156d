"""Scores anybody's COCO result file: a JSON list of records with image_id, category_id, score and a geometry."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hotcoco

from lineage.eval.score import TASKS, Scores, join, score

FIELDS = {"box": "bbox", "mask": "segmentation", "keypoint": "keypoints"}
ALWAYS = ("image_id", "category_id", "score")


def evaluate_file(
    results: Path, ground_truth: Path | dict[str, Any], tasks: Sequence[str] | None = None
) -> dict[str, float]:
    """The COCO metrics of a result file, in percent; by default of every task its records have a field for."""
    return score_file(results, ground_truth, tasks).metrics


def score_file(results: Path, ground_truth: Path | dict[str, Any], tasks: Sequence[str] | None = None) -> Scores:
    """As `evaluate_file`, with the numbers of each class."""
    truth = ground_truth if isinstance(ground_truth, dict) else _read(ground_truth)
    records = _read(results)
    _check(records, truth, results)
    held = [task for task, field in FIELDS.items() if any(field in record for record in records)]
    if not set(tasks or held) <= set(held) or not held:
        asked = ", ".join(FIELDS.get(task, task) for task in tasks or TASKS)
        raise ValueError(f"{results}: the records hold {held or 'no geometry'}; the scores asked for need {asked}.")
    loaded = hotcoco.COCO(truth)
    return join(score(loaded, loaded.load_res(_only(records, task)), task) for task in tasks or held)


def _only(records: list[dict[str, Any]], task: str) -> list[dict[str, Any]]:
    """Records with one task's geometry. A box beside a mask would make pycocotools sort masks by the box's area."""
    field = FIELDS[task]
    return [{key: record[key] for key in (*ALWAYS, field)} for record in records if field in record]


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not valid JSON: {error}.") from error


def _check(records: Any, truth: dict[str, Any], path: Path) -> None:
    if not isinstance(records, list) or not records:
        raise ValueError(f"{path}: a COCO result file is a non-empty JSON list of detections.")
    for place, record in enumerate(records):
        absent = [key for key in ALWAYS if key not in record]
        if absent:
            raise ValueError(f"{path}: record {place} has no {', '.join(absent)}.")
    for key, kind in (("image_id", "images"), ("category_id", "categories")):
        unknown = {record[key] for record in records} - {item["id"] for item in truth[kind]}
        if unknown:
            some = ", ".join(map(str, sorted(unknown)[:8]))
            raise ValueError(f"{path}: {len(unknown)} {key}s are not among the ground truth's {kind}: {some}.")
