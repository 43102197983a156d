"""Evaluation of detections: an Evaluator follows a dataset batch by batch, a Scorer holds the rules of one protocol.

    scorer = CocoScorer(dataset=val)
    evaluator = DetectionEvaluator(scorer)
    for each batch: evaluator.update(model.detect(batch.images), batch)
    evaluator.compute()  ->  {"box/AP": 37.1, ...}

Training needs an Evaluator only. The scores of a result file come from the same Scorer (files/score_file.py).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import nn

from lineage.eval.predictions.accumulator import DetectionAccumulator, available_tasks
from lineage.eval.predictions.coco_records import to_records
from lineage.eval.predictions.gather import is_first_rank, on_first_rank
from lineage.eval.predictions.predictions import NO_PREDICTIONS, Predictions
from lineage.eval.scores import Scores, join
from lineage.results.garbage_collection import pause_collection
from lineage.structures import Batch, Detections

log = logging.getLogger(__name__)


@runtime_checkable
class Evaluator(Protocol):
    """Accumulator of the detections of a dataset; `compute` scores them and clears the accumulator.

    Under torch.distributed every process updates with its own images and calls `compute`; all get the same metrics.
    """

    @property
    def protocol(self) -> dict[str, Any]:
        """Return everything besides the detections that decides the metrics: thresholds, limits, engine and version.

        Plain data, hashed into the entry of a run: metrics of different protocols never share a table.
        """
        ...

    def check_outputs(self, outputs: Any) -> None:
        """Raise if a model lacks an output that is scored; called before training, with its first outputs."""
        ...

    def update(self, outputs: Any, batch: Any) -> None:
        """Add the outputs of a batch: Detections and a Batch, or those of another task (run/task.py)."""
        ...

    def compute(self) -> dict[str, float]:
        """Return metrics in percent, such as box/AP; NaN where the ground truth has nothing to measure."""
        ...

    def per_class(self) -> dict[str, dict[str, float]]:
        """Return class -> metric -> value, of the last `compute`."""
        ...

    def results(self) -> list[dict[str, Any]]:
        """Return the detections of the last `compute` as COCO result records, one per detection."""
        ...


@runtime_checkable
class ModelReader(Protocol):
    """Evaluator that reads more of the model than its detections, such as gradients."""

    def read_model(self, model: nn.Module) -> None:
        """Take the model that will be evaluated, on its device, with the weights that it has at each evaluation."""
        ...


class Scorer(Protocol):
    """Rules of an evaluation protocol, applied to the ground truth of one dataset."""

    category_ids: NDArray[np.int64]  # [C] id of each label
    tasks: tuple[str, ...]  # such as ("box", "mask"), those that the ground truth can score

    @property
    def images(self) -> Iterable[int]:
        """Return the ids of the images that have to be evaluated."""
        ...

    @property
    def protocol(self) -> dict[str, Any]:
        """Return what `Evaluator.protocol` returns."""
        ...

    def score(self, predictions: Predictions, task: str) -> Scores: ...


class MissingGeometryError(ValueError):
    """A model predicts nothing that its evaluator scores."""


class DetectionEvaluator:
    """Evaluator by the rules of a Scorer."""

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer
        self.predictions = NO_PREDICTIONS
        self.scores = Scores({}, {})
        self._logged: set[str] = set()  # notes
        self._accumulator = DetectionAccumulator(scorer.images, scorer.tasks)

    @property
    def protocol(self) -> dict[str, Any]:
        return self.scorer.protocol

    def check_outputs(self, detections: Detections) -> None:
        """Raise MissingGeometryError if a model predicts nothing that is scored."""
        available = available_tasks(detections)
        if not available & {*self.scorer.tasks}:
            raise MissingGeometryError(
                f"The evaluator {self.protocol['name']} scores {' and '.join(self.scorer.tasks)}, and this model "
                f"predicts only {' and '.join(sorted(available))}: choose a model with that head, such as "
                "model=mask_rcnn or model=keypoint_rcnn, or score boxes as COCO does with evaluator=coco"
            )

    def update(self, detections: Detections, batch: Batch) -> None:
        self.check_outputs(detections)
        self._accumulator.update(detections, batch)

    def add(self, predictions: Predictions, tasks: Iterable[str]) -> None:
        """Add the detections of a batch that another evaluator has converted, with the geometry of `tasks`."""
        self._accumulator.add(predictions, tasks)

    def compute(self) -> dict[str, float]:
        """Score the images of all processes; every process gets the same metrics."""
        self.predictions, tasks = self._accumulator.finish()
        self.scores = on_first_rank(lambda: join(self.scorer.score(self.predictions, task) for task in tasks))
        log_notes(self.scores, self._logged)
        return self.scores.metrics

    def per_class(self) -> dict[str, dict[str, float]]:
        return self.scores.per_class

    def results(self, task: str | None = None) -> list[dict[str, Any]]:
        """Return COCO result records. With a task they hold its geometry only, as COCO's server expects."""
        return to_records(self.predictions, self.scorer.category_ids, task)


class NoEvaluation:
    """Evaluator of a run without validation images: it keeps nothing and measures nothing."""

    protocol: dict[str, Any] = {"name": "none"}  # noqa: RUF012  never changed

    def check_outputs(self, outputs: Any) -> None:
        return None

    def update(self, outputs: Any, batch: Any) -> None:
        return None

    def compute(self) -> dict[str, float]:
        return {}

    def per_class(self) -> dict[str, dict[str, float]]:
        return {}

    def results(self) -> list[dict[str, Any]]:
        return []


def log_notes(scores: Scores, logged: set[str]) -> None:
    """Log each note of scores once, on the first process."""
    for note in scores.notes:
        if note not in logged and is_first_rank():
            log.warning(note)
        logged.add(note)


def make_evaluator(make: Callable[..., Scorer | Evaluator], dataset: Any) -> Evaluator:
    """Return the evaluator that a config names for a dataset: a Scorer, or an Evaluator of its own kind."""
    with pause_collection():  # a scorer reads the ground truth
        scorer = make(dataset=dataset)
    return scorer if isinstance(scorer, Evaluator) else DetectionEvaluator(scorer)
