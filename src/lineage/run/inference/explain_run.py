"""Explanations of a run's own test: its surest right and its surest wrong detections, as a picture of its report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from lineage.calibration.fit import DetectedImages, detect_images
from lineage.calibration.overlaps import HALF, match
from lineage.config.build import ConfigError
from lineage.config.resume_overrides import load_config
from lineage.data.samples.dataset import Dataset
from lineage.eval.files.json_file import read_json
from lineage.explain.explain_image import Request
from lineage.explain.explained_image import ExplainedImage
from lineage.explain.sheet import save_sheets
from lineage.report.image_sources import Picture
from lineage.results.atomic import atomic_path
from lineage.results.run_folder import RunFolder
from lineage.run.inference.explain import explain_picture
from lineage.run.restore import Restored
from lineage.run.splits import build_val

NAME = "explanations.png"
CLEAREST = 1000  # detections by falling score that are looked through


class JudgedDetection(NamedTuple):
    """A detection of a run's test, and whether it is right."""

    image_id: int
    number: int  # among the detections of its image, by falling score, from 1
    is_right: bool


def explain_run(restored: Restored, folder: Path, request: Request) -> list[ExplainedImage]:
    """Explain the best right and the best wrong detections of a run, half of `request.count` each.

    Raises ConfigError if the run has no detections or no images.
    """
    images = build_val(load_config(RunFolder(folder)))
    if images is None:
        raise ConfigError(f"{folder} was not evaluated on images: name those to explain")
    explained = []
    for detection in choose_detections(folder, images, request.count):
        kind = "right" if detection.is_right else "wrong"
        picture = read_picture(images, detection.image_id, f"image {detection.image_id}, {kind}")
        chosen = replace(request, numbers=[detection.number], score_thresh=0.0)
        explained.append(explain_picture(restored, picture, chosen))
    return explained


def choose_detections(folder: Path, images: Dataset, count: int) -> list[JudgedDetection]:
    """Return the surest right detections, then the surest wrong ones, each of another image; half of `count` each."""
    results = RunFolder(folder).results
    if not results.is_file():
        raise ConfigError(f"{folder} has no {results.name} yet: a run writes it at its end")
    document, records = images.ground_truth(), read_json(results)
    detected = detect_images(document, records, [image["id"] for image in document["images"]], "box", "coco")
    judged = judge(detected)
    scores: dict[int, list[float]] = {}
    for record in records:
        scores.setdefault(record["image_id"], []).append(record["score"])
    chosen: list[JudgedDetection] = []
    for is_right, number in ((True, (count + 1) // 2), (False, count // 2)):
        images_of_chosen = {detection.image_id for detection in chosen}
        others = {image: score for image, score, verdict in reversed(judged)
                  if verdict == is_right and image not in images_of_chosen}  # fmt: skip
        for image, score in sorted(others.items(), key=lambda item: -item[1])[:number]:
            rank = 1 + sum(other > score for other in scores[image])
            chosen.append(JudgedDetection(image, rank, is_right))
    return chosen


def judge(detected: DetectedImages) -> list[tuple[int, float, bool]]:
    """Return (image id, score, whether it is right) of the surest detections that are right or wrong, best first."""
    matches = match(detected.overlaps, detected.detections.scores)
    images = sorted(detected.predictions.images.tolist())
    order = (-matches.score).argsort(kind="stable")[:CLEAREST]
    return [(images[matches.image[index]], float(matches.score[index]), bool(matches.is_tp[HALF, index]))
            for index in order if not matches.ignored[HALF, index]]  # fmt: skip


def read_picture(images: Dataset, image_id: int, name: str) -> Picture:
    """Return an image of a dataset as a picture."""
    sample = images[images.ids.tolist().index(image_id)]
    return Picture(name, sample.image.as_subclass(Tensor).permute(1, 2, 0).contiguous().numpy())


def save_explanations(folder: Path, explained: Sequence[ExplainedImage]) -> Path:
    """Write the sheets of all detections into one picture of the run folder."""
    path = RunFolder(folder).pictures / NAME
    path.parent.mkdir(exist_ok=True)
    with atomic_path(path) as unfinished:
        save_sheets(explained, unfinished)
    return path
