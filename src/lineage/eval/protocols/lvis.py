"""LVIS's evaluation (arXiv:1908.03195, section 3): AP over a long tail of classes of which each image lists a few.

An image is annotated for the classes in it and for those verified absent (`neg_category_ids`); detections of others are
dropped. Where a class in it is not exhaustively annotated (`not_exhaustive_category_ids`), what matches nothing is
ignored. Up to 300 detections of an image count. AP of the rare, common and frequent classes is APr, APc and APf.

`fixed` adds the AP of Dave et al. (arXiv:2102.01066): the limit per image makes classes compete, so calibration across
classes decides the AP of rare ones; in its place each class keeps its 10,000 best detections of the whole dataset.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import hotcoco
import numpy as np

from lineage.eval.accumulator import Round
from lineage.eval.predictions.predictions import Detected
from lineage.eval.protocols.coco import annotated_tasks, load
from lineage.eval.scores import TASKS, Scores, join, limits, measured
from lineage.structures import Batch, Detections

if TYPE_CHECKING:
    from lineage.data.samples.dataset import GroundTruth

PER_IMAGE = 300  # detections
PER_CLASS = 10_000  # detections, for the fixed AP
UNLIMITED = 10**9
FIXED = ("AP", "APr", "APc", "APf")


class FederatedError(ValueError):
    """The ground truth lacks what only LVIS has."""


class LvisEvaluator:
    """Boxes and masks. Equal to lvis-api 0.5.3 in all its 13 numbers (tests); the engine is hotcoco."""

    def __init__(self, *, dataset: GroundTruth, tasks: Sequence[str] = ("box", "mask"), fixed: bool = False) -> None:
        truth = dataset.ground_truth()
        check(truth)
        annotated = annotated_tasks(truth)
        self.tasks = tuple(task for task in ("box", "mask") if task in tasks and task in annotated)
        if not self.tasks:
            raise ValueError(f"Nothing to evaluate: asked for {list(tasks)}, the ground truth has {annotated}.")
        self.fixed = fixed
        self.truth = hotcoco.COCO(truth)
        self._round = Round((image["id"] for image in truth["images"]), self.tasks, dataset.meta.category_ids)

    @property
    def protocol(self) -> dict[str, Any]:
        tasks: dict[str, dict[str, Any]] = {task: protocol(task) for task in self.tasks}
        if "mask" in tasks:
            tasks["mask"]["paste"] = "bilinear at pixel centres, from 0.5"
        fixed = {"fixed": {"per_class": PER_CLASS}} if self.fixed else {}
        return {"name": "lvis", "engine": f"hotcoco {hotcoco.__version__}", "tasks": tasks, **fixed}

    def update(self, detections: Detections, batch: Batch) -> None:
        self._round.add(detections, batch)

    def compute(self) -> dict[str, float]:
        return self._round.finish(self._score)

    def per_class(self) -> dict[str, dict[str, float]]:
        return self._round.scores.per_class

    def results(self, task: str | None = None) -> list[dict[str, Any]]:
        """All detections, also those beyond the limit of an image."""
        return self._round.records(task)

    def _score(self, found: Detected, task: str) -> Scores:
        loaded = load(self.truth, found, self._round.category_ids, task)
        scores = [score(self.truth, loaded, task)]
        if self.fixed:
            keep = best(found.scores, found.labels, PER_CLASS)
            most = load(self.truth, found.rows_of(keep), self._round.category_ids, task)
            scores.append(fixed(self.truth, most, task))
        return join(scores)


def score(truth: hotcoco.COCO, found: hotcoco.COCO, task: str, per_image: int = PER_IMAGE) -> Scores:
    """LVIS's 13 numbers, in percent."""
    engine = hotcoco.LVISeval(truth, found, TASKS[task])
    engine.params.max_dets = [per_image]
    return measured(engine, task)


def fixed(truth: hotcoco.COCO, found: hotcoco.COCO, task: str) -> Scores:
    """<task>/AP_fixed and of each frequency; `found` holds the best of each class."""
    every = score(truth, found, task, UNLIMITED)
    return Scores({f"{task}/{name}_fixed": every.metrics[f"{task}/{name}"] for name in FIXED}, {})


def best(scores: np.ndarray, labels: np.ndarray, limit: int) -> np.ndarray:
    """[N] bool: the `limit` best of each class; among equal scores the earlier."""
    order = np.lexsort((-scores, labels))
    place = np.arange(len(order)) - np.searchsorted(labels[order], labels[order])
    keep = np.zeros(len(order), bool)
    keep[order[place < limit]] = True
    return keep


def protocol(task: str) -> dict[str, Any]:
    params = hotcoco.LVISeval(hotcoco.COCO(EMPTY), hotcoco.COCO(EMPTY), TASKS[task]).params
    params.max_dets = [PER_IMAGE]
    return limits(params) | {"federated": True}


EMPTY: dict[str, list[Any]] = {"images": [], "annotations": [], "categories": []}


def check(truth: Mapping[str, Any]) -> None:
    """Raises FederatedError with the first record that is not LVIS's."""
    needs = {"images": ("neg_category_ids", "not_exhaustive_category_ids"), "categories": ("frequency",)}
    for kind, fields in needs.items():
        for one in truth[kind]:
            absent = [field for field in fields if field not in one]
            if absent:
                raise FederatedError(
                    f"The ground truth is not LVIS's: {kind} {one['id']} has no {', '.join(absent)}. Use the "
                    "annotation files of lvisdataset.org, or score it as COCO does: "
                    "dataset.evaluator._target_=lineage.eval.protocols.coco.CocoEvaluator, or --protocol coco."
                )
