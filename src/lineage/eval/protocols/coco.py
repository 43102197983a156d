"""COCO's evaluation of boxes, masks and keypoints (arXiv:1405.0312, section 5; cocodataset.org/#detection-eval).

Average precision and recall over 10 IoU thresholds and 3 object sizes. Each task is scored by its own geometry: the
area of a mask is its number of pixels, not the area of its box, and the area of a set of keypoints is their extent. On
request, also Boundary AP, the localisation error LRP and the TIDE breakdown of what AP is lost to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import hotcoco
import numpy as np

from lineage.eval.document import CocoDataset, ProtocolError
from lineage.eval.engine import ENGINE, coco_protocol, load_predictions, precision_at, run
from lineage.eval.metrics import own_matching
from lineage.eval.metrics.boundary import RATIO
from lineage.eval.metrics.tide import tide_breakdown
from lineage.eval.predictions.predictions import Predictions
from lineage.eval.scores import Scores, join
from lineage.eval.tasks import FIELDS, IOU_TYPES, TASKS

PERSON_KEYPOINTS = 17  # COCO publishes its tolerances (sigmas) for these; the engine has them
SIGMA = 0.05  # deviates: keypoints without tolerances, neither in the dataset nor in the config, all get this one
DEFAULT_TASKS = ("box", "mask", "keypoint")
EXTRAS = ("lrp", "tide", "ious")
STRICT_IOUS = (60, 70, 80, 90)
PASTE = "bilinear at pixel centres, from 0.5"  # how masks get from the head to the image


class CocoScorer:
    """Scorer of the tasks that `tasks` and the ground truth have in common.

    `sigmas` are the keypoints' tolerances; without, those of the dataset, if it has any, else COCO's for 17 keypoints.
    `extras` adds metrics: "lrp" and "tide" explain an AP, "ious" is AP60 to AP90 as Cascade R-CNN prints them.
    """

    name = "coco"
    supported, defaults = TASKS, DEFAULT_TASKS
    extra_names = EXTRAS

    def __init__(
        self,
        *,
        dataset: CocoDataset,
        tasks: Sequence[str] = DEFAULT_TASKS,
        sigmas: Sequence[float] | None = None,
        extras: Sequence[str] = (),
    ) -> None:
        document = dataset.ground_truth()
        check_extras(extras, self.extra_names)
        self.tasks, self.extras = choose_tasks(document, tasks, self.supported), tuple(extras)
        self.images = [image["id"] for image in document["images"]]
        self.category_ids = np.array(dataset.meta.category_ids, np.int64)
        self.sigmas = choose_sigmas(document, sigmas or dataset.meta.sigmas)
        self.truth = hotcoco.COCO(document)

    @property
    def protocol(self) -> dict[str, Any]:
        tasks = {task: task_protocol(task) for task in self.tasks}
        if "keypoint" in tasks:
            tasks["keypoint"]["sigmas"] = self.sigmas or "coco"
        extras = {"extras": list(self.extras)} if self.extras else {}
        return {"name": self.name, "engine": ENGINE, "tasks": tasks, **extras}

    def score(self, predictions: Predictions, task: str) -> Scores:
        results = load_predictions(self.truth, predictions, self.category_ids, task)
        return score_coco(self.truth, results, task, self.sigmas, self.extras)


def score_coco(
    truth: hotcoco.COCO,
    results: hotcoco.COCO,
    task: str,
    sigmas: Sequence[float] | None = None,
    extras: Sequence[str] = (),
) -> Scores:
    """Return the metrics that COCO prints for one task, and those of `extras` for boxes and masks."""
    if task == "boundary":
        return own_matching.score_boundary(truth, results)
    engine = hotcoco.COCOeval(truth, results, IOU_TYPES[task])
    if task == "keypoint":
        if sigmas is not None:
            engine.params.kpt_oks_sigmas = list(sigmas)
        return run(engine, task)
    scores = [run(engine, task)]
    if "ious" in extras:
        metrics = dict(zip((f"{task}/AP{iou}" for iou in STRICT_IOUS), precision_at(engine, STRICT_IOUS), strict=True))
        scores.append(Scores(metrics, {}))
    if "tide" in extras:
        scores.append(Scores(tide_breakdown(engine, task), {}))
    if "lrp" in extras:
        scores.append(own_matching.score_lrp(truth, results, task))
    return join(scores)


def task_protocol(task: str) -> dict[str, Any]:
    """Return what is measured of a task, as plain data."""
    if task == "boundary":
        return coco_protocol("mask") | {"overlap": "min(mask IoU, boundary IoU)", "boundary": RATIO}
    return coco_protocol(task) | ({"paste": PASTE} if task == "mask" else {})


def check_extras(extras: Sequence[str], names: Sequence[str]) -> None:
    """Raise ProtocolError unless a protocol has all of the extras."""
    if not {*extras} <= {*names}:
        raise ProtocolError(f"extras are among {list(names)}, not {list(extras)}.")


def choose_tasks(document: Mapping[str, Any], tasks: Sequence[str], supported: Sequence[str]) -> tuple[str, ...]:
    """Return the tasks that a protocol supports, a config names and the ground truth annotates."""
    annotated = find_tasks(document)
    scored = tuple(task for task in supported if task in tasks and task in annotated)
    if not scored:
        raise ProtocolError(f"Nothing to evaluate: `tasks` are {list(tasks)}, the ground truth has {annotated}.")
    return scored


def find_tasks(document: Mapping[str, Any]) -> list[str]:
    """Return the tasks that the ground truth has a geometry for."""
    if not document["annotations"]:
        raise ProtocolError(
            "The ground truth has no annotations, so no detection can be right; check the dataset's file."
        )
    annotations = document["annotations"]
    return [task for task, field in FIELDS.items() if any(annotation.get(field) for annotation in annotations)]


def choose_sigmas(document: Mapping[str, Any], sigmas: Sequence[float] | None) -> list[float] | None:
    """Return a tolerance for each keypoint, or None where there are no keypoints or the engine's own (COCO's) hold."""
    counts = (
        len(annotation["keypoints"]) // 3 for annotation in document["annotations"] if annotation.get("keypoints")
    )
    num_keypoints = next(counts, 0)
    if sigmas and num_keypoints and len(sigmas) != num_keypoints:
        raise ProtocolError(f"{len(sigmas)} sigmas for {num_keypoints} keypoints: each keypoint needs its own.")
    if sigmas:
        return [float(sigma) for sigma in sigmas]
    return [SIGMA] * num_keypoints if num_keypoints not in (0, PERSON_KEYPOINTS) else None
