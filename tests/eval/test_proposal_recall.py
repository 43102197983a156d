"""Average recall of proposals against pycocotools without categories."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from lineage.data.collate import collate
from lineage.data.proposals.jittered import JitteredProposals
from lineage.data.shapes.dataset import Shapes
from lineage.eval.evaluator import DetectionEvaluator
from lineage.eval.protocols.proposals import ProposalScorer
from lineage.structures import Batch, Detections

DATA = Shapes(seed=4, length=6, size=128)


def detections(boxes: np.ndarray) -> Detections:
    n = len(boxes)
    scores = torch.linspace(1, 0.1, n)[None]
    slots = torch.arange(n)[None]
    valid = torch.ones(1, n, dtype=torch.bool)
    both = torch.stack((scores, 1 - scores), -1)
    return Detections(torch.from_numpy(boxes)[None], scores, slots * 0, valid, slots, both)


def batches() -> list[tuple[Detections, Batch]]:
    source = JitteredProposals(DATA, copies=6, random=200, shift=0.2, recall=0.8)
    return [(detections(source(DATA[index])), collate([DATA[index]], [0])) for index in range(len(DATA))]


def test_recall_equals_the_official_one_without_categories() -> None:
    evaluator = DetectionEvaluator(ProposalScorer(dataset=DATA))
    for found, batch in batches():
        evaluator.update(found, batch)
    ours = evaluator.compute()
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = DATA.ground_truth()
        truth.createIndex()
        official = COCOeval(truth, truth.loadRes([{**one, "category_id": 1} for one in evaluator.results()]), "bbox")
        official.params.useCats, official.params.maxDets = 0, [10, 100, 300, 1000]
        official.evaluate()
        official.accumulate()
    recall = official.eval["recall"][:, 0]
    for j, count in enumerate((10, 100, 300, 1000)):
        assert ours[f"box/AR{count}"] == pytest.approx(100 * recall[:, 0, j].mean(), abs=1e-9)
        assert ours[f"box/R{count}"] == pytest.approx(100 * recall[0, 0, j], abs=1e-9)
    assert ours["box/ARs1000"] == pytest.approx(100 * recall[:, 1, 3].mean(), abs=1e-9)
    assert np.isnan(ours["box/ARl100"])  # no object of 96 x 96 pixels


def test_an_image_that_was_not_shown_is_an_error() -> None:
    evaluator = DetectionEvaluator(ProposalScorer(dataset=DATA))
    evaluator.update(*batches()[0])
    with pytest.raises(ValueError, match="5 of 6 images were never evaluated"):
        evaluator.compute()
