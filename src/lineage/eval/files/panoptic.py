"""COCO's panoptic result file: a JSON of segments and, in a folder of its name, the PNGs of their ids."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lineage.eval.files.json_file import Record, ResultError, read_json
from lineage.eval.metrics import pq
from lineage.eval.notes import NO_OBJECTS
from lineage.eval.protocols.panoptic import PanopticScorer
from lineage.eval.scores import Scores

LISTED = 8  # ids that a message names


def score_panoptic(results: Path, document: Mapping[str, Any], folder: Path | None) -> Scores:
    """Return PQ, SQ and RQ. `document` may name the `folder` of its PNGs, else it is as its file is named."""
    scorer = PanopticScorer(document, folder or results.parent)
    predictions = _read_predictions(results)
    if not scorer.annotations:
        return scorer.score([])._replace(notes=(NO_OBJECTS,))
    _check_images(predictions, scorer, results)
    counts = []
    for image in scorer.annotations:
        annotation = predictions[image]
        unknown = {segment["category_id"] for segment in annotation["segments_info"]} - scorer.names.keys()
        if unknown:
            raise ResultError(f"{results}: image {image} has unknown category_ids {sorted(unknown)[:LISTED]}.")
        ids = pq.read_png(results.with_suffix("") / annotation["file_name"])
        counts.append(scorer.count(image, scorer.ids(image), ids, annotation["segments_info"]))
    return scorer.score(counts)


def _check_images(predictions: Mapping[int, Record], scorer: PanopticScorer, path: Path) -> None:
    """Raise ResultError unless predictions are of all images of the ground truth and no other."""
    missing = sorted(scorer.annotations.keys() - predictions.keys())
    if missing:
        raise ResultError(
            f"{path}: {len(missing)} of {len(scorer.annotations)} images have no prediction: {missing[:LISTED]}. "
            "An image without segments needs a record with an empty segments_info, and a black PNG."
        )
    foreign = sorted(predictions.keys() - scorer.annotations.keys())
    if foreign:
        raise ResultError(f"{path}: {len(foreign)} images are not in the ground truth: {foreign[:LISTED]}.")


def _read_predictions(path: Path) -> dict[int, Record]:
    """Return image id -> annotation of a result file. Raises ResultError for a record that lacks a field."""
    document = read_json(path)
    if not isinstance(document, dict) or not isinstance(document.get("annotations"), list):
        raise ResultError(f"{path}: a panoptic result is a JSON object whose annotations have segments_info.")
    predictions: dict[int, Record] = {}
    for index, annotation in enumerate(document["annotations"]):
        if not _is_complete(annotation):
            raise ResultError(
                f"{path}: annotation {index} needs an image_id, the file_name of its PNG, and segments_info: "
                "a list of segments, each with a whole number as id and as category_id."
            )
        if annotation["image_id"] in predictions:
            raise ResultError(f"{path}: image {annotation['image_id']} has two predictions.")
        predictions[annotation["image_id"]] = annotation
    return predictions


def _is_complete(annotation: Any) -> bool:
    if not _has_whole_numbers(annotation, "image_id") or not isinstance(annotation.get("file_name"), str):
        return False
    segments = annotation.get("segments_info")
    return isinstance(segments, list) and all(_has_whole_numbers(segment, "id", "category_id") for segment in segments)


def _has_whole_numbers(record: Any, *fields: str) -> bool:
    return isinstance(record, dict) and all(isinstance(record.get(field), int) for field in fields)
