"""Evaluator that also calibrates the scores and measures them: rows of a table then compare maps on one checkpoint.

The images are split into halves by a hash of their ids. Each half is measured with the map that the other half fits,
and each metric is the mean of the two.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lineage.calibration.fit import Choices, DetectedImages, detect_images, fit_map, measure
from lineage.calibration.logit import Floats
from lineage.calibration.score_map import AUGMENTED, METHODS, ScoredDetections
from lineage.calibration.split import CalibrationError, split_halves
from lineage.eval.document import CocoDataset
from lineage.eval.evaluator import Evaluator, Scorer, make_evaluator
from lineage.eval.files.score_file import guess_protocol
from lineage.eval.predictions.gather import on_first_rank
from lineage.eval.protocols.lvis import LvisScorer
from lineage.eval.scores import nan_mean
from lineage.structures import Batch, Detections

log = logging.getLogger(__name__)
RAW = "none"  # no map: the scores as they are
MEASURES = ("D-ECE", "D-MCE", "D-ACE", "LaECE", "LaECE_0", "LaACE_0", "OCE", "Brier", "NLL", "AP", "oLRP")


class CalibrationEvaluator:
    """Evaluator of a dataset that adds `calibration/...`, measures of calibrated scores beside their AP and LRP."""

    def __init__(
        self,
        *,
        dataset: CocoDataset,
        evaluator: Callable[..., Scorer | Evaluator],
        method: str,
        by: Sequence[str],
        target: str,
        num_bins: int,
        score_thresh: float,
        task: str,
        seed: int,
    ) -> None:
        """Prepare the ground truth.

        evaluator: of the detections as they are. method: a map, or RAW. by: groups with a map of their own.
        target: precision or iou. num_bins: of BTS and histogram. task: box or mask, whose overlap decides.
        score_thresh: detections below do not count. seed: of the halves.
        """
        if method not in (RAW, *METHODS) or method == AUGMENTED:
            names = ", ".join(name for name in (RAW, *METHODS) if name != AUGMENTED)
            raise CalibrationError(f"evaluator.method={method} is no map that is fitted here; choose one of {names}")
        self.evaluator = make_evaluator(evaluator, dataset)
        self.document = dataset.ground_truth()
        self.method, self.task = method, task
        fitted = "platt" if method == RAW else method
        self.choices = Choices(fitted, tuple(by), target, num_bins, score_thresh)
        self.split = split_halves([image["id"] for image in self.document["images"]], seed)

    @property
    def protocol(self) -> dict[str, Any]:
        """Return the rules of both parts; the map is what rows of a table differ in, and no rule."""
        rules = {"task": self.task, "score_thresh": self.choices.score_thresh, "split": self.split.digest()}
        return {**self.evaluator.protocol, "calibration": rules}

    @property
    def scorer(self) -> Any:
        """Return the rules of the detections' scores, None if their evaluator has none."""
        return getattr(self.evaluator, "scorer", None)

    @property
    def added_metrics(self) -> list[str]:
        """Return the metrics that it computes beside those of the scorer."""
        return [*getattr(self.evaluator, "added_metrics", ()), *(f"calibration/{name}" for name in MEASURES)]

    def check_outputs(self, detections: Detections) -> None:
        self.evaluator.check_outputs(detections)

    def update(self, detections: Detections, batch: Batch) -> None:
        self.evaluator.update(detections, batch)

    def compute(self) -> dict[str, float]:
        """Return the metrics of the detections and of their calibrated scores, over the images of all processes."""
        return {**self.evaluator.compute(), **on_first_rank(self._measure)}

    def per_class(self) -> dict[str, dict[str, float]]:
        return self.evaluator.per_class()

    def results(self) -> list[dict[str, Any]]:
        return self.evaluator.results()

    def _measure(self) -> dict[str, float]:
        """Return the mean of both halves; NaN where the detections of a half determine no map."""
        protocol = LvisScorer.name if guess_protocol(self.document) == LvisScorer.name else "coco"
        records = self.evaluator.results()
        halves = [detect_images(self.document, records, half, self.task, protocol)
                  for half in (self.split.fit, self.split.test)]  # fmt: skip
        try:
            values = [self._measure_half(fit, test) for fit, test in (halves, halves[::-1])]
        except CalibrationError as error:
            log.warning("calibration was not measured: %s", error)
            values = []
        return {f"calibration/{name}": nan_mean([half[name] for half in values]) for name in MEASURES}

    def _measure_half(self, fit: DetectedImages, test: DetectedImages) -> dict[str, float]:
        change: Callable[[ScoredDetections], Floats] = fit_map([fit], self.choices)
        if self.method == RAW:
            change = _keep_scores
        return measure(fit, test, change, self.choices.score_thresh, np.zeros((0, test.num_images))).values


def _keep_scores(detections: ScoredDetections) -> Floats:
    return detections.scores
