"""COCO's evaluation of boxes, masks and keypoints (arXiv:1405.0312, section 5; cocodataset.org/#detection-eval).

Detections go back to the pixels of their file as they come. Each task is scored by its own geometry: the area of a mask
is its pixel count, not that of its box, and the area of a set of keypoints is their extent. On request, also Boundary
AP, the localisation error LRP and the TIDE breakdown of what AP is lost to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import hotcoco
import numpy as np

from lineage.eval.accumulator import Round
from lineage.eval.predictions.collector import TASKS
from lineage.eval.predictions.predictions import Detected
from lineage.eval.scores import Scores, protocol, score
from lineage.structures import Batch, Detections

if TYPE_CHECKING:
    from lineage.data.samples.dataset import GroundTruth

PERSON_POINTS = 17  # COCO publishes its tolerances (sigmas) for these; the engine knows them
SIGMA = 0.05  # deviates: keypoints whose tolerances neither the dataset nor the config names all get this one
DEFAULT = ("box", "mask", "keypoint")
EXTRAS = ("lrp", "tide", "ious")


class CocoEvaluator:
    """Scores the tasks that the model, the ground truth and `tasks` have in common.

    `sigmas` are the keypoints' tolerances; without, those of the dataset, if it has any, else COCO's for 17 keypoints.
    `extras` adds numbers: "lrp" and "tide" explain an AP, "ious" is AP60 to AP90.
    """

    def __init__(
        self,
        *,
        dataset: GroundTruth,
        tasks: Sequence[str] = DEFAULT,
        sigmas: Sequence[float] | None = None,
        extras: Sequence[str] = (),
    ) -> None:
        truth = dataset.ground_truth()
        annotated = annotated_tasks(truth)
        chosen = tuple(task for task in TASKS if task in tasks and task in annotated)
        if not chosen:
            raise ValueError(f"Nothing to evaluate: asked for {list(tasks)}, the ground truth has {annotated}.")
        if not set(extras) <= set(EXTRAS):
            raise ValueError(f"extras are among {list(EXTRAS)}, not {list(extras)}.")
        self.tasks, self.extras = chosen, tuple(extras)
        self.sigmas = tolerances(truth, sigmas or dataset.meta.sigmas)
        self.truth = hotcoco.COCO(truth)
        self._round = Round((image["id"] for image in truth["images"]), chosen, dataset.meta.category_ids)

    @property
    def protocol(self) -> dict[str, Any]:
        tasks: dict[str, dict[str, Any]] = {task: protocol(task) for task in self.tasks}
        if "mask" in tasks:
            tasks["mask"]["paste"] = "bilinear at pixel centres, from 0.5"
        if "keypoint" in tasks:
            tasks["keypoint"]["sigmas"] = self.sigmas or "coco"
        extras = {"extras": list(self.extras)} if self.extras else {}
        return {"name": "coco", "engine": f"hotcoco {hotcoco.__version__}", "tasks": tasks, **extras}

    def update(self, detections: Detections, batch: Batch) -> None:
        self._round.add(detections, batch)

    def compute(self) -> dict[str, float]:
        return self._round.finish(self._score)

    def per_class(self) -> dict[str, dict[str, float]]:
        return self._round.scores.per_class

    def results(self, task: str | None = None) -> list[dict[str, Any]]:
        return self._round.records(task)

    def _score(self, found: Detected, task: str) -> Scores:
        if task == "keypoint":
            return score(self.truth, self.truth.load_res(self.results(task)), task, self.sigmas, self.extras)
        return score(self.truth, load(self.truth, found, self._round.category_ids, task), task, extras=self.extras)


def load(truth: hotcoco.COCO, found: Detected, category_ids: np.ndarray, task: str) -> hotcoco.COCO:
    """Detections as the engine holds them, from columns: a dict for each of half a million is what takes time."""
    columns = (found.image_of_row(), *found.xywh().T, found.scores, category_ids[found.labels])
    rows = np.stack(columns, axis=1).astype(np.float64)
    if task == "box":
        return truth.load_res(rows)
    masks = found.masks()
    loaded = truth.load_res(rows, segmentation=[*masks])
    if masks:
        loaded.update_anns(ids=np.arange(1, len(masks) + 1), area=hotcoco.mask.area(masks).astype(np.float64))
    return loaded


def annotated_tasks(truth: Mapping[str, Any]) -> list[str]:
    """The tasks the ground truth can score."""
    if not truth["annotations"]:
        raise ValueError("The ground truth has no annotations, so no detection can be right; check the dataset's file.")
    fields = {"box": "bbox", "mask": "segmentation", "keypoint": "keypoints", "boundary": "segmentation"}
    return [task for task, field in fields.items() if any(note.get(field) for note in truth["annotations"])]


def tolerances(truth: Mapping[str, Any], sigmas: Sequence[float] | None) -> list[float] | None:
    """One for each keypoint; None where there are no keypoints, or the engine's own (COCO's 17) hold."""
    points = next((len(note["keypoints"]) // 3 for note in truth["annotations"] if note.get("keypoints")), 0)
    if sigmas and points and len(sigmas) != points:
        raise ValueError(f"{len(sigmas)} sigmas for {points} keypoints: each keypoint needs its own.")
    if sigmas:
        return [float(sigma) for sigma in sigmas]
    return [SIGMA] * points if points not in (0, PERSON_POINTS) else None
