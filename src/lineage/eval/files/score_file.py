"""Scores anybody's results: COCO's JSON, the text files of VOC or Cityscapes, or COCO's panoptic JSON with its PNGs.

What is wrong in a file is said before anything is scored, with the place of the record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import hotcoco
import numpy as np

from lineage.eval.files.cityscapes import read_cityscapes
from lineage.eval.files.coco_results import ResultError, check, only, read_json
from lineage.eval.files.ground_truth import read_truth
from lineage.eval.files.panoptic import score_panoptic
from lineage.eval.files.voc import read_voc
from lineage.eval.protocols import cityscapes, lvis, voc
from lineage.eval.protocols.coco import tolerances
from lineage.eval.scores import TASKS, Scores, join, score

FIELDS = {"box": "bbox", "mask": "segmentation", "keypoint": "keypoints", "boundary": "segmentation"}
PROTOCOLS = ("coco", "lvis", "voc", "cityscapes", "panoptic")


def evaluate_file(
    results: Path, ground_truth: Path | dict[str, Any], tasks: Sequence[str] | None = None
) -> dict[str, float]:
    """The COCO metrics of a result file, in percent; by default of every task its records have a field for."""
    return score_file(results, ground_truth, tasks, protocol="coco").metrics


def score_file(
    results: Path,
    ground_truth: Path | dict[str, Any],
    tasks: Sequence[str] | None = None,
    *,
    protocol: str | None = None,
    extras: Sequence[str] = (),
    sigmas: Sequence[float] | None = None,
) -> Scores:
    """The metrics and those of each class. Without `protocol`, the ground truth tells whether it is LVIS or panoptic.

    `extras` are "lrp", "tide" (COCO) and "fixed" (LVIS). Raises ResultError.
    """
    truth = ground_truth if isinstance(ground_truth, dict) else read_truth(ground_truth)
    chosen = protocol or guess(truth)
    if chosen == "panoptic":
        folder = None if isinstance(ground_truth, dict) else ground_truth.with_suffix("")
        return score_panoptic(results, truth.get("panoptic", truth), folder)
    records = read(results, truth, chosen)
    check(records, truth, results)
    if chosen == "voc":
        return score_voc(records, truth, results)
    if chosen == "cityscapes":
        return score_cityscapes(records, truth, results)
    chosen_tasks = scorable(records, truth, tasks, results)
    wanted = [task for task in chosen_tasks if chosen == "coco" or task in ("box", "mask")]
    loaded = hotcoco.COCO(truth)
    if chosen == "lvis":
        lvis.check(truth)
        return join(score_lvis(loaded, records, task, "fixed" in extras) for task in wanted)
    points = tolerances(truth, sigmas) if "keypoint" in wanted else None
    return join(score(loaded, loaded.load_res(only(records, FIELDS[task])), task, points, extras) for task in wanted)


def scorable(
    records: list[dict[str, Any]], truth: Mapping[str, Any], asked: Sequence[str] | None, path: Path
) -> list[str]:
    """The tasks asked for, else all whose geometry both sides have. Raises ResultError."""
    sides: tuple[list[dict[str, Any]], ...] = (records, truth["annotations"])
    held, known = ([task for task in TASKS if any(one.get(FIELDS[task]) for one in side)] for side in sides)
    both = [task for task in held if task in known]
    if not both or not {FIELDS[task] for task in asked or both} <= {FIELDS[task] for task in both}:
        needed = ", ".join(FIELDS[task] for task in asked or TASKS)
        raise ResultError(
            f"{path}: the records hold {held or 'no geometry'}, the ground truth {known or 'none'}; "
            f"the scores asked for need {needed}."
        )
    if "keypoint" in (asked or both):
        points = max(len(one.get("keypoints") or ()) for one in truth["annotations"])
        wrong = [place for place, one in enumerate(records) if len(one.get("keypoints", ())) not in (0, points)]
        if wrong:
            raise ResultError(f"{path}: record {wrong[0]} has not the {points // 3} keypoints of the ground truth.")
    return [*(asked or both)]


def read(results: Path, truth: Mapping[str, Any], protocol: str) -> Any:
    """The records of a result file or folder, not yet checked."""
    if not (results.is_dir() or results.suffix == ".txt"):
        return read_json(results)
    return read_cityscapes(results, truth) if protocol == "cityscapes" else read_voc(results, truth)


def guess(truth: Mapping[str, Any]) -> str:
    if "panoptic" in truth or any("segments_info" in note for note in truth["annotations"][:1]):
        return "panoptic"
    federated = truth["images"] and all("neg_category_ids" in image for image in truth["images"])
    return "lvis" if federated else "coco"


def score_lvis(truth: hotcoco.COCO, records: list[dict[str, Any]], task: str, fixed: bool) -> Scores:
    mine = only(records, FIELDS[task])
    scores = [lvis.score(truth, truth.load_res(mine), task)]
    if fixed:
        numbers, classes = (np.array([one[key] for one in mine]) for key in ("score", "category_id"))
        keep = lvis.best(numbers, classes, lvis.PER_CLASS)
        best = [one for one, kept in zip(mine, keep, strict=True) if kept]
        scores.append(lvis.fixed(truth, truth.load_res(best), task))
    return join(scores)


def score_voc(records: list[dict[str, Any]], truth: Mapping[str, Any], path: Path) -> Scores:
    if not all("bbox" in one for one in records):
        raise ResultError(f"{path}: VOC scores boxes, and not every record has a `bbox`.")
    found = voc.Boxes(
        image=np.array([one["image_id"] for one in records], np.int64),
        category=np.array([one["category_id"] for one in records], np.int64),
        box=np.array([one["bbox"] for one in records], np.float64).reshape(-1, 4),
        score=np.array([one["score"] for one in records], np.float64),
    )
    return voc.score(found, voc.objects(truth), {one["id"]: one["name"] for one in truth["categories"]})


def score_cityscapes(records: list[dict[str, Any]], truth: dict[str, Any], path: Path) -> Scores:
    if not all("segmentation" in one for one in records):
        raise ResultError(f"{path}: Cityscapes scores masks, and not every record has a `segmentation`.")
    names = {one["id"]: one["name"] for one in truth["categories"]}
    objects = cityscapes.Objects(truth)
    classes: dict[int, list[cityscapes.Pairs]] = {number: [] for number in names}
    of_image: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in truth["images"]}
    for one in records:
        of_image[one["image_id"]].append(one)
    for image, mine in of_image.items():
        scores, category = (np.array([one[key] for one in mine]) for key in ("score", "category_id"))
        each = cityscapes.pairs([one["segmentation"] for one in mine], scores, category, objects(image), [*classes])
        for number, pair in each.items():
            classes[number].append(pair)
    return cityscapes.scores({names[number]: some for number, some in classes.items()})
