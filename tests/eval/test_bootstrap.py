"""AP on resampled images equals pycocotools on a document in which drawn images stand as often as they were drawn."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import hotcoco
import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from lineage.eval.metrics.bootstrap import bootstrap_ap, draw_weights
from lineage.eval.metrics.own_matching import match

IMAGES, CLASSES = 6, 2
Record = dict[str, Any]


def random_case(seed: int) -> tuple[list[Record], list[Record]]:
    """Return objects and detections near them, some of them missed or doubled; one object is a crowd."""
    chance = np.random.default_rng(seed)
    objects, detections = [], []
    for i in range(20):
        x, y, w, h = map(float, (*chance.uniform(0, 60, 2), *chance.uniform(10, 40, 2)))
        place = {"image_id": int(chance.integers(1, IMAGES)), "category_id": int(chance.integers(1, CLASSES + 1))}
        objects.append({**place, "bbox": [x, y, w, h], "area": w * h, "iscrowd": int(i == 3), "id": i + 1})
        for _ in range(int(chance.integers(0, 3))):
            box = [x + float(chance.normal(0, 4)), y, w, h + float(chance.normal(0, 3))]
            detections.append({**place, "bbox": box, "score": float(chance.uniform())})
    return objects, detections


def document(objects: list[Record], images: list[int]) -> dict[str, Any]:
    categories = [{"id": number + 1, "name": str(number)} for number in range(CLASSES)]
    return {"images": [{"id": i, "width": 100, "height": 100} for i in images], "annotations": objects,
            "categories": categories}  # fmt: skip


def score_copies(objects: list[Record], detections: list[Record], weights: list[int]) -> list[float]:
    """Score a document with a copy of an image for each time that it was drawn."""
    copies = [(image, copy) for image, times in enumerate(weights, 1) for copy in range(times)]
    number = {pair: i + 1 for i, pair in enumerate(copies)}
    sides = [[one | {"image_id": number[pair]} for pair in copies for one in side if one["image_id"] == pair[0]]
             for side in (objects, detections)]  # fmt: skip
    truths = [one | {"id": i + 1} for i, one in enumerate(sides[0])]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = document(truths, list(number.values()))
        truth.createIndex()
        engine = COCOeval(truth, truth.loadRes(sides[1]), "bbox")
        engine.evaluate()
        engine.accumulate()
        engine.summarize()
    return [100 * float(value) for value in engine.stats[:3]]


@pytest.mark.parametrize("seed", range(4))
def test_a_draw_is_a_document_with_copies(seed: int) -> None:
    objects, detections = random_case(seed)
    truth = hotcoco.COCO(document(objects, list(range(1, IMAGES + 1))))
    classes = match(truth, truth.load_res(detections), "box", 100)
    weights = np.concatenate([np.ones((1, IMAGES)), draw_weights(IMAGES, 8)])
    replicates = bootstrap_ap(classes, weights)
    for i, row in enumerate(weights):
        expected = score_copies(objects, detections, [int(times) for times in row])
        assert [column[i] for column in replicates] == pytest.approx(expected, abs=1e-9)


def test_draws_depend_on_the_number_of_images_alone() -> None:
    assert (draw_weights(50) == draw_weights(50)).all()
    assert (draw_weights(50).sum(1) == 50).all()
