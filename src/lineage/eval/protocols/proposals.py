"""Recall of proposals, whatever their class: average recall (arXiv:1502.05082) as in FPN (arXiv:1612.03144), table 1.

COCO's protocol with one class for all objects and up to 1000 proposals per image. Average recall is over ten IoU
thresholds from 0.5 to 0.95.
"""

from __future__ import annotations

from typing import Any

import hotcoco
import numpy as np

from lineage.eval.document import CocoDataset
from lineage.eval.engine import ENGINE, load_predictions
from lineage.eval.notes import empty_notes, id_notes
from lineage.eval.predictions.predictions import Predictions
from lineage.eval.scored_document import strip_document
from lineage.eval.scores import Scores
from lineage.eval.truth_cache import ScoredTruth, load_truth

COUNTS = (10, 100, 300, 1000)  # proposals per image
SIZES = {"all": "", "small": "s", "medium": "m", "large": "l"}
FIRST_BY_SIZE = 100  # fewest proposals that recall is also given by size for
OBJECT = 1  # category id of every object


class ProposalScorer:
    """Scorer of box/AR100, box/AR1000, ... (box/ARs1000: small objects) and box/R1000, the recall at IoU 0.5."""

    name = "proposals"
    supported = defaults = tasks = ("box",)
    extra_names = ()

    def __init__(self, *, dataset: CocoDataset) -> None:
        truths, facts = load_truth(dataset, (self.name,), prepare_proposals)
        self.truth = truths["box"]
        self.images = facts["images"]
        self.notes = tuple(facts["notes"])
        self.category_ids = np.array(dataset.meta.category_ids, np.int64)

    @property
    def protocol(self) -> dict[str, Any]:
        return {"name": self.name, "engine": ENGINE, "counts": list(COUNTS), "class_agnostic": True}

    def score(self, predictions: Predictions, task: str) -> Scores:
        metrics = recalls(self.truth, predictions)
        return Scores(metrics, {"object": metrics}, self.notes)


def prepare_proposals(document: dict[str, Any]) -> ScoredTruth:
    """Return the boxes of a document with one class for all, and the notes that go with them."""
    content = strip_document(document, ProposalScorer.tasks)
    objects = [annotation | {"category_id": OBJECT} for annotation in content["annotations"]]
    classes = [{"id": OBJECT, "name": "object"}]
    images = [image["id"] for image in document["images"]]
    notes = (*empty_notes(document), *id_notes(document, "pycocotools"))
    truth = {"images": content["images"], "annotations": objects, "categories": classes}
    return ScoredTruth({"box": truth}, {"images": images, "notes": notes})


def recalls(truth: hotcoco.COCO, predictions: Predictions) -> dict[str, float]:
    """Return recalls in percent; NaN for a size that no object has."""
    predictions = predictions._replace(labels=np.zeros_like(predictions.labels))
    results = load_predictions(truth, predictions, np.array([OBJECT]), "box")
    engine = hotcoco.COCOeval(truth, results, "bbox")
    engine.params.max_dets = list(COUNTS)
    engine.evaluate()
    engine.accumulate()
    assert engine.eval is not None
    recall = engine.eval["recall"][:, 0]  # [IoU thresholds, sizes, counts]
    recall = 100 * np.where(recall < 0, np.nan, recall)
    sizes = [SIZES[name] for name in engine.params.area_rng_lbl]
    average = {
        f"box/AR{size}{count}": float(recall[:, i, j].mean())
        for i, size in enumerate(sizes)
        for j, count in enumerate(COUNTS)
        if not size or count >= FIRST_BY_SIZE
    }
    return average | {f"box/R{count}": float(recall[0, sizes.index(""), j]) for j, count in enumerate(COUNTS)}
