"""COCO's evaluation of boxes, masks and keypoints (arXiv:1405.0312, section 5; cocodataset.org/#detection-eval).

Average precision and recall over 10 IoU thresholds and 3 object sizes. Each task is scored by its own geometry: the
area of a mask is its number of pixels, not the area of its box, and the area of a set of keypoints is their extent. On
request, also Boundary AP, the localisation error LRP and the TIDE breakdown of what AP is lost to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import hotcoco
import numpy as np

from lineage.eval.document import CocoDataset, ProtocolError
from lineage.eval.engine import ENGINE, load_predictions, precision_at, protocol_of, run
from lineage.eval.keypoint_sigmas import find_sigmas
from lineage.eval.metrics import own_matching
from lineage.eval.metrics.boundary import RATIO
from lineage.eval.notes import empty_notes, id_notes, limit_notes, mask_notes
from lineage.eval.predictions.predictions import Predictions
from lineage.eval.scored_document import coco_documents
from lineage.eval.scores import Scores, join
from lineage.eval.tasks import FIELDS, IOU_TYPES, TASKS
from lineage.eval.truth_cache import ScoredTruth, load_truth

DEFAULT_TASKS = ("box", "mask", "keypoint")
EXTRAS = ("lrp", "tide", "ious")
STRICT_IOUS = (60, 70, 80, 90)
PASTE = "bilinear at pixel centres, from 0.5"  # how masks get from the head to the image


class CocoScorer:
    """Scorer of the tasks that `tasks` and the ground truth have in common."""

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
        max_detections: int | None = None,
    ) -> None:
        """Prepare the ground truth.

        sigmas: tolerances of the keypoints; None: those of the dataset, else those that COCO publishes by name.
        extras: more metrics: "lrp" and "tide" explain an AP, "ious" is AP60 to AP90 as Cascade R-CNN prints them.
        max_detections: detections that count per image and class; None: COCO's 100, for keypoints 20.
        """
        check_extras(extras, self.extra_names)
        self.category_ids = np.array(dataset.meta.category_ids, np.int64)
        self.max_detections, self.extras = max_detections, tuple(extras)
        sigmas = sigmas or dataset.meta.sigmas
        settings = (self.name, self.supported, [*tasks], [*sigmas], max_detections)
        prepare = partial(prepare_coco, tasks=tasks, supported=self.supported, sigmas=sigmas, limit=max_detections)
        self.truths, facts = load_truth(dataset, settings, prepare)
        self.tasks = tuple(facts["tasks"])
        self.images = facts["images"]
        self.sigmas = facts["sigmas"]
        self.notes: dict[str, list[str]] = facts["notes"]

    @property
    def protocol(self) -> dict[str, Any]:
        tasks = {task: task_protocol(task, self.max_detections) for task in self.tasks}
        if "keypoint" in tasks:
            tasks["keypoint"]["sigmas"] = self.sigmas or "coco"
        extras = {"extras": list(self.extras)} if self.extras else {}
        return {"name": self.name, "engine": ENGINE, "tasks": tasks, **extras}

    def score(self, predictions: Predictions, task: str) -> Scores:
        truth = self.truths[task]
        results = load_predictions(truth, predictions, self.category_ids, task)
        limit = self.max_detections
        scores = score_coco(truth, results, task, sigmas=self.sigmas, extras=self.extras, max_detections=limit)
        return scores._replace(notes=tuple(self.notes[task]))


def prepare_coco(
    document: dict[str, Any],
    tasks: Sequence[str],
    supported: Sequence[str],
    sigmas: Sequence[float],
    limit: int | None,
) -> ScoredTruth:
    """Return what COCO's protocol reads of a document, the tasks that are scored, and the notes that go with them."""
    tasks = choose_tasks(document, tasks, supported)
    keypoints = find_sigmas(document, sigmas)
    common = (*empty_notes(document), *id_notes(document, "pycocotools"))
    notes = {
        task: (
            *common,
            *limit_notes(document, task, task_params(task, limit).max_dets[-1]),
            *mask_notes(document, task),
            *(keypoints.notes if task == "keypoint" else ()),
        )
        for task in tasks
    }
    images = [image["id"] for image in document["images"]]
    facts = {"tasks": tasks, "images": images, "sigmas": keypoints.sigmas, "notes": notes}
    return ScoredTruth(coco_documents(document, tasks), facts)


def score_coco(
    truth: hotcoco.COCO,
    results: hotcoco.COCO,
    task: str,
    *,
    sigmas: Sequence[float] | None = None,
    extras: Sequence[str] = (),
    max_detections: int | None = None,
) -> Scores:
    """Return the metrics that COCO prints for one task, and those of `extras` for boxes and masks.

    sigmas: tolerances of keypoints; None: COCO's of 17.
    max_detections: detections that count per image and class; None: COCO's.
    """
    limits = task_params(task, max_detections).max_dets
    if task == "boundary":
        return own_matching.score_boundary(truth, results, limits)
    engine = hotcoco.COCOeval(truth, results, IOU_TYPES[task])
    engine.params.max_dets = limits
    if task == "keypoint":
        if sigmas is not None:
            engine.params.kpt_oks_sigmas = list(sigmas)
        return run(engine, task)
    scores = [run(engine, task)]
    if "ious" in extras:
        metrics = dict(zip((f"{task}/AP{iou}" for iou in STRICT_IOUS), precision_at(engine, STRICT_IOUS), strict=True))
        scores.append(Scores(metrics, {}))
    if "tide" in extras:
        scores.append(own_matching.score_tide(truth, results, task, limits[-1]))
    if "lrp" in extras:
        scores.append(own_matching.score_lrp(truth, results, task, limits[-1]))
    return join(scores)


def task_params(task: str, max_detections: int | None = None) -> hotcoco.Params:
    """Return COCO's parameters of a task; `max_detections` replaces the highest limit of detections."""
    params = hotcoco.Params(IOU_TYPES.get(task, "segm"))
    if max_detections is not None:
        params.max_dets = [*(limit for limit in params.max_dets[:-1] if limit < max_detections), max_detections]
    return params


def task_protocol(task: str, max_detections: int | None = None) -> dict[str, Any]:
    """Return what is measured of a task, as plain data."""
    measured = protocol_of(task_params(task, max_detections))
    if task == "boundary":
        return measured | {"overlap": "min(mask IoU, boundary IoU); of crowds mask IoU", "boundary": RATIO}
    return measured | ({"paste": PASTE} if task == "mask" else {})


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
    """Return the tasks that the ground truth has a geometry for: all of them if it has no objects."""
    annotations = document["annotations"]
    fields = {field for field in FIELDS.values() if any(annotation.get(field) for annotation in annotations)}
    if fields:
        fields.add("bbox")  # completed from masks or keypoints
    return [task for task, field in FIELDS.items() if field in fields or not annotations]
