"""The evaluator's own duties: file pixels, complete image sets, tasks, rounds and plain answers to bad input."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch

from lineage.eval.evaluator import DetectionEvaluator
from lineage.eval.protocols.coco import CocoScorer
from lineage.structures import Detections
from tests.eval.scenes import World, batch, guesses, world


@pytest.fixture
def scene() -> World:
    return world(np.random.default_rng(1), images=5)


def perfect(scene: World, scale: float, points: int = 0) -> Detections:
    """The ground truth itself as detections on a canvas `scale` times the files."""
    count, slots = len(scene.sizes), 10
    found = guesses(np.random.default_rng(0), scene, slots)
    found.valid[:] = False
    keypoints = torch.zeros(count, slots, points, 3) if points else None
    for place, image in enumerate(scene.truth["images"]):
        own = [note for note in scene.truth["annotations"] if note["image_id"] == image["id"]]
        for slot, note in enumerate(own):
            x, y, w, h = note["bbox"]
            found.boxes[place, slot] = torch.tensor([x, y, x + w, y + h]) * scale
            found.labels[place, slot] = scene.meta.category_ids.index(note["category_id"])
            found.valid[place, slot] = not note["iscrowd"]
            if keypoints is not None:
                at = torch.tensor(note["keypoints"], dtype=torch.float64).view(points, 3)
                keypoints[place, slot] = ((at + 0.5) * scale).float()
    return found._replace(keypoints=keypoints, masks=None)


def with_keypoints(scene: World, points: int) -> World:
    rng = np.random.default_rng(0)
    for note in scene.truth["annotations"]:
        x, y, w, h = note["bbox"]
        at = np.round(rng.random((points, 2)) * [w, h] + [x, y])
        note["keypoints"] = np.concatenate([at, np.full((points, 1), 2)], axis=1).ravel().tolist()
        note["num_keypoints"] = points
    return scene


@pytest.mark.parametrize("scale", [1.0, 0.37, 2.5])
def test_the_ground_truth_itself_scores_100(scene: World, scale: float) -> None:
    evaluator = DetectionEvaluator(CocoScorer(dataset=scene))
    evaluator.update(perfect(scene, scale), batch(scene, scale))
    metrics = evaluator.compute()
    assert metrics["box/AP"] == pytest.approx(100)
    assert not any(name.startswith("mask/") for name in metrics), "these detections have no masks"


@pytest.mark.parametrize("points", [17, 5])
def test_keypoints_come_back_to_annotated_pixels(scene: World, points: int) -> None:
    scene = with_keypoints(scene, points)
    evaluator = DetectionEvaluator(CocoScorer(dataset=scene))
    evaluator.update(perfect(scene, 0.5, points), batch(scene, 0.5))
    assert evaluator.compute()["keypoint/AP"] == pytest.approx(100)
    note = next(note for note in scene.truth["annotations"] if not note["iscrowd"])
    record = next(record for record in evaluator.results() if record["image_id"] == note["image_id"])
    at = np.array(record["keypoints"]).reshape(points, 3)
    np.testing.assert_allclose(at[:, :2], np.array(note["keypoints"]).reshape(points, 3)[:, :2], atol=1e-4)


def test_boxes_are_clipped_to_the_file(scene: World) -> None:
    found = perfect(scene, 1.0)
    found.boxes[:, 0], found.valid[:, 0] = torch.tensor([-9.0, -9.0, 1e4, 1e4]), True
    evaluator = DetectionEvaluator(CocoScorer(dataset=scene))
    evaluator.update(found, batch(scene))
    evaluator.compute()
    records = {
        record["image_id"]: record["bbox"] for record in reversed(evaluator.results())
    }  # the first of each image
    assert all(records[one["id"]] == [0, 0, one["width"], one["height"]] for one in scene.truth["images"])


def test_no_detection_at_all_scores_zero(scene: World) -> None:
    found = guesses(np.random.default_rng(0), scene)
    found.valid[:] = False
    evaluator = DetectionEvaluator(CocoScorer(dataset=scene))
    evaluator.update(found, batch(scene))
    metrics = evaluator.compute()
    assert metrics["box/AP"] == metrics["mask/AP"] == 0
    assert evaluator.results() == []


def test_absent_sizes_are_nan_and_never_negative(scene: World) -> None:
    scene.truth["annotations"] = [note | {"area": 50.0} for note in scene.truth["annotations"]]
    evaluator = DetectionEvaluator(CocoScorer(dataset=scene, tasks=["box"]))
    evaluator.update(guesses(np.random.default_rng(0), scene), batch(scene))
    metrics = evaluator.compute()
    assert math.isnan(metrics["box/APl"])
    assert not any(value < 0 for value in metrics.values())
    assert math.isnan(evaluator.per_class()[scene.meta.classes[-1]]["box/AP"]), "the last class has no object"


def test_missing_images_are_named(scene: World) -> None:
    whole = batch(scene)
    part = whole._replace(ids=whole.ids[:3])
    evaluator = DetectionEvaluator(CocoScorer(dataset=scene))
    evaluator.update(guesses(np.random.default_rng(0), scene), part)
    with pytest.raises(ValueError, match=rf"2 of 5 images .*{min(whole.ids[3:].tolist())}"):
        evaluator.compute()


def test_foreign_images_are_named(scene: World) -> None:
    evaluator = DetectionEvaluator(CocoScorer(dataset=scene))
    found, whole = guesses(np.random.default_rng(0), scene), batch(scene)
    evaluator.update(found, whole)
    evaluator.update(found, whole._replace(ids=whole.ids + 5000))
    with pytest.raises(ValueError, match="does not list"):
        evaluator.compute()


def test_repeated_images_count_once(scene: World) -> None:
    found, whole = guesses(np.random.default_rng(0), scene), batch(scene)
    evaluator = DetectionEvaluator(CocoScorer(dataset=scene))
    evaluator.update(found, whole)
    once = evaluator.compute()
    records = evaluator.results()
    evaluator.update(found, whole)
    evaluator.update(found, whole)
    assert evaluator.compute() == pytest.approx(once, nan_ok=True)
    assert evaluator.results() == records


def test_a_new_round_forgets_the_last(scene: World) -> None:
    evaluator = DetectionEvaluator(CocoScorer(dataset=scene))
    evaluator.update(perfect(scene, 1.0), batch(scene))
    assert evaluator.compute()["box/AP"] == pytest.approx(100)
    evaluator.update(guesses(np.random.default_rng(0), scene), batch(scene))
    assert evaluator.compute()["box/AP"] < 100


def test_without_objects_the_scores_are_absent_and_say_why(scene: World) -> None:
    """As of a test server's images: the detections become results, and nothing can be measured."""
    scene.truth["annotations"] = []
    evaluator = DetectionEvaluator(CocoScorer(dataset=scene))
    evaluator.update(guesses(np.random.default_rng(0), scene), batch(scene))
    metrics = evaluator.compute()
    assert all(math.isnan(metrics[name]) for name in ("box/AP", "mask/AP", "box/AR100"))
    assert "no objects" in evaluator.scores.notes[0]
    assert len(evaluator.results()) > 0


def test_a_task_nobody_annotated(scene: World) -> None:
    with pytest.raises(ValueError, match="keypoint"):
        DetectionEvaluator(CocoScorer(dataset=scene, tasks=["keypoint"]))


def test_the_protocol_is_plain_data_and_tells_evaluators_apart(scene: World) -> None:
    def text(**options: Any) -> str:
        return json.dumps(DetectionEvaluator(CocoScorer(dataset=scene, **options)).protocol, sort_keys=True)

    assert "hotcoco" in text()
    assert text() == text()
    assert text() != text(tasks=["box"])
    with_keypoints(scene, 5)
    assert text(sigmas=[0.1] * 5) != text()
