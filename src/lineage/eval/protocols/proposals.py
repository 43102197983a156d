"""Recall of proposals, whatever they show: average recall (arXiv:1502.05082) as in FPN (arXiv:1612.03144), table 1.

COCO's protocol with one class for all objects and up to 1000 regions of an image. Average recall is over ten overlaps
from 0.5 to 0.95.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import hotcoco
import numpy as np

from lineage.eval.accumulator import Round
from lineage.eval.predictions.predictions import Detected
from lineage.eval.protocols.coco import load
from lineage.eval.scores import Scores
from lineage.structures import Batch, Detections

if TYPE_CHECKING:
    from lineage.data.samples.dataset import GroundTruth

COUNTS = (10, 100, 300, 1000)
SIZES = {"all": "", "small": "s", "medium": "m", "large": "l"}
OBJECT = 1


class ProposalEvaluator:
    """box/AR100, box/AR1000, ... (box/ARs1000: small objects) and box/R1000, the recall at an overlap of a half."""

    def __init__(self, *, dataset: GroundTruth) -> None:
        truth = dataset.ground_truth()
        if not truth["annotations"]:
            raise ValueError("The ground truth has no objects, so no proposal can be right; check the dataset's file.")
        objects = [{**note, "category_id": OBJECT} for note in truth["annotations"]]
        classes = [{"id": OBJECT, "name": "object"}]
        self.truth = hotcoco.COCO({"images": truth["images"], "annotations": objects, "categories": classes})
        self._round = Round((image["id"] for image in truth["images"]), ("box",), [OBJECT])

    @property
    def protocol(self) -> dict[str, Any]:
        engine = f"hotcoco {hotcoco.__version__}"
        return {"name": "proposals", "engine": engine, "counts": list(COUNTS), "class_agnostic": True}

    def update(self, detections: Detections, batch: Batch) -> None:
        self._round.add(detections, batch)

    def compute(self) -> dict[str, float]:
        return self._round.finish(self._score)

    def per_class(self) -> dict[str, dict[str, float]]:
        return self._round.scores.per_class

    def results(self) -> list[dict[str, Any]]:
        return self._round.records("box")

    def _score(self, found: Detected, task: str) -> Scores:
        metrics = recalls(self.truth, found)
        return Scores(metrics, {"object": metrics})


def recalls(truth: hotcoco.COCO, found: Detected) -> dict[str, float]:
    """In percent; NaN where there is no object of that size."""
    found = found._replace(labels=np.zeros_like(found.labels))
    engine = hotcoco.COCOeval(truth, load(truth, found, np.array([OBJECT]), "box"), "bbox")
    engine.params.max_dets = list(COUNTS)
    engine.evaluate()
    engine.accumulate()
    assert engine.eval is not None
    recall = engine.eval["recall"][:, 0]  # [overlaps, sizes, counts]
    recall = 100 * np.where(recall < 0, np.nan, recall)
    names = [SIZES[name] for name in engine.params.area_rng_lbl]
    average = {
        f"box/AR{size}{count}": float(recall[:, i, j].mean())
        for i, size in enumerate(names)
        for j, count in enumerate(COUNTS)
        if not size or count >= 100
    }
    return average | {f"box/R{count}": float(recall[0, names.index(""), j]) for j, count in enumerate(COUNTS)}
