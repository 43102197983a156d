"""LVIS's evaluation (arXiv:1908.03195, section 3): AP over a long tail of classes of which each image lists a few.

An image is annotated for the classes in it and for those verified absent (`neg_category_ids`); detections of others are
dropped. Where a class in it is not exhaustively annotated (`not_exhaustive_category_ids`), unmatched detections are
ignored. Up to 300 detections of an image count. AP of the rare, common and frequent classes is APr, APc and APf.

The extra `fixed` adds the AP of Dave et al. (arXiv:2102.01066): the limit per image makes classes compete, so
calibration across classes decides the AP of rare ones; in its place each class keeps its 10,000 best detections of the
whole dataset.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import hotcoco
import numpy as np
from numpy.typing import NDArray

from lineage.eval.document import CocoDataset
from lineage.eval.engine import ENGINE, load_predictions, protocol_of, run
from lineage.eval.notes import empty_notes, id_notes
from lineage.eval.predictions.predictions import Predictions
from lineage.eval.protocols.coco import PASTE, check_extras, choose_tasks
from lineage.eval.scored_document import lvis_documents
from lineage.eval.scores import Scores, join
from lineage.eval.tasks import IOU_TYPES
from lineage.eval.truth_cache import ScoredTruth, load_truth

PER_IMAGE = 300  # detections
PER_CLASS = 10_000  # detections, for the fixed AP
UNLIMITED = 10**9
FIXED = ("AP", "APr", "APc", "APf")
FEDERATED = {  # fields that only LVIS's documents have
    "images": ("neg_category_ids", "not_exhaustive_category_ids"),
    "categories": ("frequency",),
}
EMPTY: dict[str, list[Any]] = {"images": [], "annotations": [], "categories": []}


class FederatedError(ValueError):
    """The ground truth lacks a field that only LVIS's documents have."""


class LvisScorer:
    """Scorer of boxes and masks, equal to lvis-api 0.5.3 in all its 13 metrics (tests)."""

    name = "lvis"
    supported = defaults = ("box", "mask")
    extra_names = ("fixed",)

    def __init__(
        self, *, dataset: CocoDataset, tasks: Sequence[str] = ("box", "mask"), extras: Sequence[str] = ()
    ) -> None:
        check_extras(extras, self.extra_names)
        self.extras = tuple(extras)
        self.category_ids = np.array(dataset.meta.category_ids, np.int64)
        prepare = partial(prepare_lvis, tasks=tasks, supported=self.supported)
        self.truths, facts = load_truth(dataset, (self.name, [*tasks]), prepare)
        self.tasks = tuple(facts["tasks"])
        self.images = facts["images"]
        self.notes = tuple(facts["notes"])

    @property
    def protocol(self) -> dict[str, Any]:
        tasks = {task: task_protocol(task) for task in self.tasks}
        fixed = {"fixed": {"per_class": PER_CLASS}} if "fixed" in self.extras else {}
        return {"name": self.name, "engine": ENGINE, "tasks": tasks, **fixed}

    def score(self, predictions: Predictions, task: str) -> Scores:
        best = best_of_each_group(predictions.scores, predictions.image_index, PER_IMAGE)
        scores = [self._score(predictions.take(best), task)]
        if "fixed" in self.extras:
            best = best_of_each_group(predictions.scores, predictions.labels, PER_CLASS)
            metrics = self._score(predictions.take(best), task).metrics
            fixed = {f"{task}/{name}_fixed": metrics[f"{task}/{name}"] for name in FIXED}
            scores.append(Scores(fixed, {}))
        return join(scores)._replace(notes=self.notes)

    def _score(self, predictions: Predictions, task: str) -> Scores:
        """Return LVIS's 13 metrics of all predictions."""
        predictions = predictions.take(np.flatnonzero(areas(predictions, task) > 0))
        results = load_predictions(self.truths[task], predictions, self.category_ids, task)
        engine = hotcoco.LVISeval(self.truths[task], results.cap_detections_per_image(None), IOU_TYPES[task])
        engine.params.max_dets = [UNLIMITED]
        return run(engine, task)


def prepare_lvis(document: dict[str, Any], tasks: Sequence[str], supported: Sequence[str]) -> ScoredTruth:
    """Return what LVIS's protocol reads of a document, the tasks that are scored, and the notes that go with them."""
    if document["annotations"]:
        check_federated(document)
    tasks = choose_tasks(document, tasks, supported)
    images = [image["id"] for image in document["images"]]
    notes = (*empty_notes(document), *id_notes(document, "lvis-api"))
    return ScoredTruth(lvis_documents(document, tasks), {"tasks": tasks, "images": images, "notes": notes})


def best_of_each_group(scores: NDArray[np.floating], group: NDArray[np.int64], limit: int) -> NDArray[np.int64]:
    """Return the rows of the `limit` best detections of each image or class; among equal scores the earlier."""
    order = np.lexsort((-scores, group))
    rank = np.arange(len(order)) - np.searchsorted(group[order], group[order])
    return np.sort(order[rank < limit])


def areas(predictions: Predictions, task: str) -> NDArray[np.float64]:
    """Return [N] the areas of boxes or masks; in lvis-api, detections without an area vanish."""
    if task == "box":
        return predictions.boxes[:, 2:].prod(axis=1)
    return np.asarray(hotcoco.mask.area(predictions.masks()), np.float64)


def task_protocol(task: str) -> dict[str, Any]:
    """Return what is measured of a task, as plain data."""
    params = hotcoco.LVISeval(hotcoco.COCO(EMPTY), hotcoco.COCO(EMPTY), IOU_TYPES[task]).params
    params.max_dets = [PER_IMAGE]
    return protocol_of(params) | {"federated": True} | ({"paste": PASTE} if task == "mask" else {})


def check_federated(document: Mapping[str, Any]) -> None:
    """Raise FederatedError for the first record that is not LVIS's."""
    for kind, fields in FEDERATED.items():
        for record in document[kind]:
            absent = [field for field in fields if field not in record]
            if absent:
                raise FederatedError(
                    f"The ground truth is not LVIS's: {kind} {record['id']} has no {', '.join(absent)}. Use the "
                    "annotation files of lvisdataset.org, or score it as COCO does: evaluator=coco in training, "
                    "--protocol coco in `lineage evaluate`."
                )
