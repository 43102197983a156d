"""VOC's average precision: a published hand example, a literal transcription of the rules, difficult objects."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from lineage.eval.evaluator import DetectionEvaluator
from lineage.eval.protocols.voc import Boxes, VocScorer, area_under_curve, eleven_point_ap, score_voc
from tests.eval.scenes import World, batch, guesses, world

ONE = {1: "person"}
NOT_3 = np.zeros(3, bool)  # not difficult


def read(folder: Path, scored: bool) -> Boxes:
    """label [score] x y w h per line; its tool counts pixels of integer corners, so a box is one pixel wider."""
    rows = [
        (int(path.stem), 1, *map(float, line.split()[1:]))
        for path in sorted(folder.glob("*.txt"))
        for line in path.read_text().splitlines()
    ]
    table = np.array(rows)
    box = table[:, -4:] + [0, 0, 1, 1]
    score = table[:, 2] if scored else np.zeros(len(table))
    return Boxes(table[:, 0].astype(int), table[:, 1].astype(int), box, score, np.zeros(len(table), bool))


def test_the_hand_example(real_data: Path) -> None:
    case = real_data / "voc_eval_case"
    found, truth = read(case / "detections", True), read(case / "groundtruths", False)
    assert (len(found.image), len(truth.image)) == (24, 15)
    metrics = score_voc(found, truth, ONE, iou_thresh=0.3).metrics
    assert metrics["voc/mAP"] == pytest.approx(24.5687, abs=5e-5)
    assert metrics["voc/mAP07"] == pytest.approx(26.84, abs=5e-3)


def literally(found: Boxes, truth: Boxes, category: int) -> tuple[float, float]:
    """The rules one detection at a time: (11 points, area)."""
    objects = [i for i in range(len(truth.image)) if truth.category[i] == category]
    positives = sum(not truth.difficult[i] for i in objects)
    rows = [i for i in range(len(found.image)) if found.category[i] == category]
    taken, outcome = set(), []
    for row in sorted(rows, key=lambda i: -found.score[i]):
        overlaps = [(iou(found.box[row], truth.box[i]), -i) for i in objects if truth.image[i] == found.image[row]]
        best, which = max(overlaps, default=(-1, 0))
        if best >= 0.5 and truth.difficult[-which]:
            continue
        outcome.append(best >= 0.5 and which not in taken)
        taken |= {which} if best >= 0.5 else set()
    right = np.cumsum(outcome)
    recall, precision = right / positives, right / np.arange(1, len(outcome) + 1)
    eleven = [max(precision[recall >= t], default=0) for t in np.arange(0, 1.1, 0.1)]
    steps = [0, *recall]
    whole = sum((steps[i + 1] - steps[i]) * precision[i:].max() for i in range(len(outcome)))
    return float(np.mean(eleven)), float(whole)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    w, h = np.minimum(a[:2] + a[2:], b[:2] + b[2:]) - np.maximum(a[:2], b[:2])
    shared = max(w, 0) * max(h, 0)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def random_boxes(rng: np.random.Generator, count: int, near: Boxes | None) -> Boxes:
    box = np.concatenate([rng.integers(0, 30, (count, 2)), rng.integers(4, 30, (count, 2))], 1).astype(float)
    image, category = rng.integers(0, 5, count), rng.integers(1, 4, count)
    if near is not None:
        copied = rng.random(count) < 0.7
        which = rng.integers(0, len(near.image), count)
        box[copied] = (near.box[which] + rng.integers(-2, 3, (count, 4)) * [1, 1, 0, 0])[copied]
        image, category = (np.where(copied, ours[which], own) for ours, own in (
            (near.image, image), (near.category, category)))  # fmt: skip
    return Boxes(image, category, box, np.round(rng.random(count), 1), rng.random(count) < 0.2)


@pytest.mark.parametrize("seed", range(40))
def test_equal_to_the_rules_taken_literally(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = random_boxes(rng, 40, None)
    found = random_boxes(rng, 120, truth)
    scores = score_voc(found, truth, {number: str(number) for number in (1, 2, 3)})
    for category in (1, 2, 3):
        values = scores.per_class[str(category)]
        expected = literally(found, truth, category)
        np.testing.assert_allclose([values["voc/AP07"] / 100, values["voc/AP"] / 100], expected, rtol=0, atol=1e-12)


def test_known_curves() -> None:
    half = np.array([0.5, 0.5]), np.array([1.0, 0.5])
    assert eleven_point_ap(*half) == pytest.approx(6 / 11)
    assert area_under_curve(*half) == 0.5
    assert eleven_point_ap(np.zeros(0), np.zeros(0)) == area_under_curve(np.zeros(0), np.zeros(0)) == 0


def test_a_difficult_object_is_neither_missed_nor_found() -> None:
    box = np.array([[0.0, 0, 10, 10], [50, 50, 10, 10]])
    truth = Boxes(np.array([1, 1]), np.array([1, 1]), box, np.zeros(2), np.array([False, True]))
    both = Boxes(np.array([1, 1, 1]), np.array([1, 1, 1]), box[[1, 1, 0]], np.array([0.9, 0.8, 0.7]), NOT_3)
    assert score_voc(both, truth, ONE).metrics == pytest.approx({"voc/mAP": 100, "voc/mAP07": 100})
    alone = truth._replace(difficult=np.array([True, True]))
    assert math.isnan(score_voc(both, alone, ONE).metrics["voc/mAP"])


def test_a_second_detection_of_an_object_is_wrong() -> None:
    truth = Boxes(np.array([1, 2]), np.array([1, 1]), np.array([[0.0, 0, 10, 10]] * 2), np.zeros(2), NOT_3[:2])
    found = Boxes(
        np.array([1, 1, 2]), np.array([1, 1, 1]), np.array([[0.0, 0, 10, 10]] * 3), np.array([0.9, 0.8, 0.7]), NOT_3
    )
    assert score_voc(found, truth, ONE).metrics["voc/mAP"] == pytest.approx(100 * (0.5 + 0.5 * 2 / 3))


@pytest.fixture
def scene() -> World:
    return world(np.random.default_rng(1), images=5)


def test_the_evaluator(scene: World) -> None:
    evaluator = DetectionEvaluator(VocScorer(dataset=scene))
    found = guesses(np.random.default_rng(0), scene)
    evaluator.update(found, batch(scene))
    metrics = evaluator.compute()
    assert 0 < metrics["voc/mAP"] < 100
    assert set(evaluator.per_class()) == set(scene.meta.classes)
    assert len(evaluator.results()) == int(found.valid.sum())
    evaluator.update(found._replace(boxes=found.boxes * 2), batch(scene, 2.0))
    assert evaluator.compute() == pytest.approx(metrics)


def test_images_left_out_are_an_error(scene: World) -> None:
    evaluator = DetectionEvaluator(VocScorer(dataset=scene))
    whole = batch(scene)
    evaluator.update(guesses(np.random.default_rng(0), scene), whole._replace(ids=whole.ids[:3]))
    with pytest.raises(ValueError, match="2 of 5 images"):
        evaluator.compute()
