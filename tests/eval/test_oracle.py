"""Every number of our evaluator against pycocotools on a hundred random worlds."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from lineage.eval.evaluator import DetectionEvaluator
from lineage.eval.files.score_file import score_file
from lineage.eval.protocols.coco import CocoScorer
from tests.eval.scenes import World, batch, guesses, world

COCO_NAMES = {"box": "bbox", "mask": "segm", "keypoint": "keypoints"}
STATS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


def official(truth: dict[str, Any], records: list[dict[str, Any]], task: str) -> np.ndarray:
    with contextlib.redirect_stdout(io.StringIO()):
        loaded = COCO()
        loaded.dataset = json.loads(json.dumps(truth))
        loaded.createIndex()
        engine = COCOeval(loaded, loaded.loadRes(json.loads(json.dumps(records))), COCO_NAMES[task])
        engine.evaluate()
        engine.accumulate()
        engine.summarize()
    return np.where(engine.stats < 0, np.nan, engine.stats)


def ours(evaluator: CocoScorer, task: str, metrics: dict[str, float]) -> np.ndarray:
    return np.array([metrics[f"{task}/{name}"] for name in STATS]) / 100


def evaluated(scene: World, rng: np.random.Generator, slots: int, scale: float = 1.0) -> CocoScorer:
    evaluator = DetectionEvaluator(CocoScorer(dataset=scene))
    found = guesses(rng, scene, slots)
    evaluator.update(found._replace(boxes=found.boxes * scale), batch(scene, scale))
    return evaluator


@pytest.mark.parametrize("seed", range(100))
def test_all_numbers_equal_pycocotools(seed: int) -> None:
    """Crowds, tied scores, empty images, images without detections, absent classes; every tenth world is crowded."""
    rng = np.random.default_rng(seed)
    crowded = seed % 10 == 0
    scene = world(rng, images=3 if crowded else 6, classes=2 if crowded else 4, objects=6)
    if not scene.truth["annotations"]:
        pytest.skip("a world without objects")
    evaluator = evaluated(scene, rng, slots=260 if crowded else 30, scale=float(rng.choice([1.0, 2.0])))
    metrics = evaluator.compute()
    for task in ("box", "mask"):
        records = evaluator.results(task)
        assert records
        np.testing.assert_allclose(
            ours(evaluator, task, metrics), official(scene.truth, records, task), rtol=0, atol=1e-12, equal_nan=True
        )


@pytest.mark.parametrize("seed", range(3))
def test_a_result_file_scores_as_the_run_did(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    scene = world(rng, images=10)
    evaluator = evaluated(scene, rng, slots=30)
    metrics = evaluator.compute()
    path = tmp_path / "results.json"
    path.write_text(json.dumps(evaluator.results()))
    assert score_file(path, scene.truth).metrics == pytest.approx(metrics, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("seed", range(3))
def test_per_class_numbers_equal_pycocotools_on_that_class(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scene = world(rng, images=10)
    evaluator = evaluated(scene, rng, slots=30)
    evaluator.compute()
    for name, number in zip(scene.meta.classes, scene.meta.category_ids, strict=True):
        notes = [note for note in scene.truth["annotations"] if note["category_id"] == number]
        records = [record for record in evaluator.results("mask") if record["category_id"] == number]
        expected = official(scene.truth | {"annotations": notes}, records, "mask")
        values = evaluator.per_class()[name]
        found = np.array([values["mask/AP"], values["mask/AP50"]]) / 100
        np.testing.assert_allclose(found, expected[:2], rtol=0, atol=1e-12, equal_nan=True)
