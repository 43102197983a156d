"""LRP by hand and by trying every threshold; TIDE on scenes that hold one kind of error each."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import hotcoco
import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from lineage.eval.evaluator import DetectionEvaluator
from lineage.eval.metrics import own_matching
from lineage.eval.metrics.lrp import optimal_lrp
from lineage.eval.protocols.coco import CocoScorer, score_coco
from tests.eval.scenes import batch, guesses, world
from tests.eval.ties import case, only

BOX = [10, 10, 20, 20]
FAR = [60, 60, 20, 20]
LOOSE = [20, 10, 20, 20]  # IoU 1/3 with BOX
TIGHT = [10, 10, 20, 16]  # IoU 0.8 with BOX


def scores(objects: list[tuple[int, list[int]]], found: list[tuple[int, list[int], float]]) -> dict[str, float]:
    """(class, box) and (class, box, score) in one image of two classes."""
    notes = [
        {"id": i, "image_id": 1, "category_id": c, "bbox": b, "area": b[2] * b[3], "iscrowd": 0}
        for i, (c, b) in enumerate(objects, 1)
    ]
    categories = [{"id": 1, "name": "one"}, {"id": 2, "name": "two"}, {"id": 3, "name": "three"}]
    truth = hotcoco.COCO(
        {"images": [{"id": 1, "height": 100, "width": 100}], "annotations": notes, "categories": categories}
    )
    records: list[dict[str, Any]] = [
        {"image_id": 1, "category_id": c, "bbox": b, "score": s, "area": b[2] * b[3]} for c, b, s in found
    ]
    return score_coco(truth, truth.load_res(records), "box", extras=("lrp", "tide")).metrics


def test_lrp_by_hand() -> None:
    """One found at IoU 0.8, one missed; the wrong one is below the best threshold: (0.2 / 0.5 + 0 + 1) / 2."""
    values = scores([(1, BOX), (1, FAR)], [(1, TIGHT, 0.9), (1, [40, 80, 10, 10], 0.3)])
    assert values["box/oLRP"] == pytest.approx(70)
    assert values["box/oLRP_localisation"] == pytest.approx(20)
    assert (values["box/oLRP_false"], values["box/oLRP_missed"]) == pytest.approx((0, 50))


def test_lrp_of_the_perfect_and_of_nothing() -> None:
    assert scores([(1, BOX)], [(1, BOX, 0.5)])["box/oLRP"] == 0
    assert scores([(1, BOX)], [(1, FAR, 0.5)])["box/oLRP"] == 100
    assert scores([(1, BOX), (2, FAR)], [(1, BOX, 0.5)])["box/oLRP"] == pytest.approx(50)


@pytest.mark.parametrize("seed", range(30))
def test_lrp_is_the_least_over_all_detections(seed: int) -> None:
    """As the authors' code: also between two detections of equal score."""
    truth, found = case(seed)
    if not truth["annotations"] or not found:
        pytest.skip("an empty case")
    loaded = hotcoco.COCO(truth)
    for one in own_matching.match(loaded, loaded.load_res(only(found, "bbox")), "box", 100):
        objects, best = int(one.num_objects[0]), 1.0
        for last in range(len(one.scores)):
            kept = (np.arange(len(one.scores)) <= last) & ~one.ignored[0, 0]
            right = kept & one.is_tp[0, 0]
            wrong, missed = int((kept & ~right).sum()), objects - int(right.sum())
            loose = sum((1 - iou) / 0.5 for iou in one.iou[right])
            best = min(best, (loose + wrong + missed) / max(1, right.sum() + wrong + missed))
        assert (
            math.isnan(optimal_lrp(one).total) if not objects else optimal_lrp(one).total == pytest.approx(100 * best)
        )


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("class", [(2, BOX, 0.9), (2, FAR, 0.5)]),
        ("localisation", [(1, LOOSE, 0.9), (2, FAR, 0.5)]),
        ("both", [(2, LOOSE, 0.9), (2, FAR, 0.5)]),
        ("duplicate", [(1, BOX, 0.9), (1, TIGHT, 0.8), (1, [60, 20, 20, 20], 0.7), (2, FAR, 0.5)]),
        ("background", [(1, [70, 5, 20, 20], 0.9), (1, BOX, 0.8), (2, FAR, 0.5)]),
        ("missed", [(1, BOX, 0.9), (2, FAR, 0.5)]),
    ],
)
def test_each_kind_of_error_costs_where_it_is_made(kind: str, found: list[tuple[int, list[int], float]]) -> None:
    """Class one has BOX (and, to be found late or not at all, another), class two FAR."""
    objects = [(1, BOX), (2, FAR)] + ([(1, [60, 20, 20, 20])] if kind in ("duplicate", "missed") else [])
    values = scores(objects, found)
    costs = {name.removeprefix("box/dAP_"): value for name, value in values.items() if "/dAP_" in name}
    kinds = {name: cost for name, cost in costs.items() if not name.startswith("false")}
    assert kinds[kind] > 1, kinds
    assert kinds[kind] == max(kinds.values())
    others = {"class": {"missed"}, "localisation": {"missed"}, "both": {"missed"}}.get(kind, set())
    assert all(cost == pytest.approx(0) for name, cost in kinds.items() if name not in {kind, *others}), kinds


def test_perfect_detections_lose_nothing() -> None:
    values = scores([(1, BOX), (2, FAR)], [(1, BOX, 0.9), (2, FAR, 0.5)])
    assert all(value == pytest.approx(0) for name, value in values.items() if "/dAP_" in name)


def test_the_evaluator_explains_on_request() -> None:
    scene = world(np.random.default_rng(1))
    evaluator = DetectionEvaluator(CocoScorer(dataset=scene, extras=["lrp", "tide"]))
    evaluator.update(guesses(np.random.default_rng(0), scene), batch(scene))
    metrics = evaluator.compute()
    assert {"box/oLRP", "mask/oLRP", "box/dAP_localisation", "mask/dAP_missed"} <= set(metrics)
    assert evaluator.protocol["extras"] == ["lrp", "tide"]
    assert "box/threshold" in evaluator.per_class()[scene.meta.classes[0]]
    with pytest.raises(ValueError, match="extras are among"):
        DetectionEvaluator(CocoScorer(dataset=scene, extras=["lpr"]))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_stricter_ious_are_those_of_pycocotools(seed: int) -> None:
    truth, found = case(seed)
    records = only(found, "bbox")
    ours = hotcoco.COCO(truth)
    values = score_coco(ours, ours.load_res(records), "box", extras=("ious",)).metrics
    theirs = loaded(truth)
    official = COCOeval(theirs, theirs.loadRes(records), "bbox")
    official.params.iouThrs = np.array([0.6, 0.7, 0.8, 0.9])
    official.evaluate()
    official.accumulate()
    for index, iou in enumerate((60, 70, 80, 90)):
        precision = official.eval["precision"][index, :, :, 0, -1]
        assert values[f"box/AP{iou}"] == pytest.approx(100 * precision[precision > -1].mean(), abs=1e-10)


def loaded(truth: dict[str, Any]) -> COCO:
    theirs = COCO()
    theirs.dataset = truth
    theirs.createIndex()
    return theirs


PUBLISHED = json.loads(Path(__file__).with_name("lrp_and_tide.json").read_text())
LRP = ("oLRP", "oLRP_localisation", "oLRP_false", "oLRP_missed")
TIDE = ("class", "localisation", "both", "duplicate", "background", "missed", "false_positives", "false_negatives")


@pytest.mark.parametrize("name", [*PUBLISHED])
def test_equal_to_the_authors_code(name: str) -> None:
    """What tidecv 1.0.1 and the cocoeval.py of LRP-Error print for `case(seed)`: ties, crowds, classes of one side."""
    seed, _, task = name.partition("/")
    truth, found = case(int(seed))
    ours = hotcoco.COCO(truth)
    records = only(found, {"box": "bbox", "mask": "segmentation"}[task])
    metrics = score_coco(ours, ours.load_res(records), task, extras=("lrp", "tide")).metrics
    tide = [metrics[f"{task}/dAP_{kind}"] for kind in TIDE]
    assert tide == pytest.approx(PUBLISHED[name]["tide"], abs=1e-8)
    expected = [math.nan if value is None else 100 * value for value in PUBLISHED[name]["lrp"]]
    assert [metrics[f"{task}/{part}"] for part in LRP] == pytest.approx(expected, abs=1e-6, nan_ok=True)


def test_tide_where_a_class_has_no_objects_or_no_detections() -> None:
    """By the rules of tidecv: a class without objects counts 0; without its missed objects, class two is not there."""
    values = scores([(1, BOX), (2, FAR)], [(1, BOX, 0.9), (3, [40, 80, 10, 10], 0.8)])
    assert values["box/dAP_background"] == pytest.approx(50 - 100 / 3), "class three is gone: two classes are left"
    assert values["box/dAP_missed"] == pytest.approx(50 - 100 / 3)
    assert values["box/dAP_false_negatives"] == pytest.approx(50 - 100 / 3)
