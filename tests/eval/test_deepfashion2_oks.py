"""Landmarks of DeepFashion2's sample: similarity and AP with its 294 tolerances equal pycocotools and the formula."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from lineage.data.formats.deepfashion2 import LENGTHS, OFFSETS
from lineage.eval.document import CocoDocument, DocumentMeta
from lineage.eval.protocols.coco import CocoScorer, score_coco
from lineage.results.paths import ROOT

SIGMAS = yaml.safe_load((ROOT / "conf/dataset/deepfashion2.yaml").read_text())["evaluator"]["sigmas"]
Record = dict[str, Any]


@pytest.fixture
def truth(real_data: Path) -> Record:
    file = real_data / "keypoint_samples/tests/data/deepfasion2/deepfasion2.json"
    return json.loads(file.read_text())


def perturb(truth: Record, pixels: float) -> list[Record]:
    """Return a detection of each object, its landmarks moved by normal steps, and noise in the slots of other classes.

    Slots of other classes hold what a network may predict there; they must not count.
    """
    rng = np.random.default_rng(4)
    records = []
    for number, annotation in enumerate(truth["annotations"]):
        points = np.array(annotation["keypoints"], float).reshape(-1, 3)
        label = annotation["category_id"] - 1
        own = np.zeros(len(points), bool)
        own[OFFSETS[label] : OFFSETS[label] + LENGTHS[label]] = True
        moved = np.where(own[:, None], points[:, :2], 0) + rng.normal(0, pixels, (len(points), 2))
        keypoints = np.concatenate([moved, np.ones((len(points), 1))], 1)
        records.append({
            "image_id": annotation["image_id"], "category_id": annotation["category_id"],
            "score": 1 - 0.1 * number, "keypoints": keypoints.ravel().tolist(),
        })  # fmt: skip
    return records


def similarity(annotation: Record, record: Record) -> float:
    """Mean over labelled landmarks of exp(-d^2 / (2 area (2 sigma)^2)), the API's formula written out."""
    at, predicted = (np.array(one["keypoints"], float).reshape(-1, 3) for one in (annotation, record))
    labelled = at[:, 2] > 0
    distance = ((at - predicted)[:, :2] ** 2).sum(1)[labelled]
    variances = (2 * np.array(SIGMAS)[labelled]) ** 2
    return float(np.exp(-distance / (2 * annotation["area"] * variances)).mean())


@pytest.mark.parametrize("pixels", [0.0, 15.0, 25.0, 40.0])
def test_landmark_ap_is_that_of_pycocotools(truth: Record, pixels: float) -> None:
    records = perturb(truth, pixels)
    categories = tuple(category["id"] for category in truth["categories"])
    scorer = CocoScorer(dataset=CocoDocument(truth, DocumentMeta(categories)), tasks=["keypoint"], sigmas=SIGMAS)
    results = scorer.truths["keypoint"].load_res(records)
    ours = score_coco(scorer.truths["keypoint"], results, "keypoint", sigmas=SIGMAS).metrics["keypoint/AP"]
    coco = COCO()
    coco.dataset = truth
    coco.createIndex()
    official = COCOeval(coco, coco.loadRes(records), "keypoints")
    official.params.kpt_oks_sigmas = np.array(SIGMAS)
    official.evaluate()
    official.accumulate()
    official.summarize()
    assert ours == pytest.approx(100 * official.stats[0], abs=1e-6)
    assert ours == pytest.approx(100) if pixels == 0 else 10 < ours < 90
    for annotation, record in zip(truth["annotations"], records, strict=True):
        values = official.ious[annotation["image_id"], annotation["category_id"]]
        assert np.abs(values - similarity(annotation, record)).min() < 1e-9
