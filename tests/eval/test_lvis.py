"""LVIS's 13 numbers and the fixed AP against lvis-api on two hundred federated cases and on its real sample."""

from __future__ import annotations

import copy
import json
import logging
from pathlib import Path
from typing import Any

import hotcoco
import numpy as np
import pytest

from lineage.eval.evaluator import DetectionEvaluator
from lineage.eval.protocols import lvis
from lineage.eval.protocols.lvis import LvisScorer
from tests.eval.scenes import World, batch, guesses, world
from tests.eval.ties import Case, Record, case, only

FIELDS = {"box": "bbox", "mask": "segmentation"}
NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "APr", "APc", "APf", "AR300", "ARs300", "ARm300", "ARl300")


@pytest.fixture
def official(monkeypatch: pytest.MonkeyPatch) -> Any:
    """lvis-api 0.5.3; it needs a name that NumPy 1.24 removed."""
    monkeypatch.setattr(np, "float", float, raising=False)
    from lvis import LVIS, LVISEval, LVISResults

    def numbers(truth: Record, records: list[Record], task: str, limit: int = 300) -> np.ndarray:
        logging.disable(logging.WARNING)
        loaded = LVIS.__new__(LVIS)
        loaded.logger, loaded.dataset = logging.getLogger("lvis"), copy.deepcopy(truth)
        loaded._create_index()
        found = LVISResults(loaded, copy.deepcopy(records), limit)
        engine = LVISEval(loaded, found, {"box": "bbox", "mask": "segm"}[task])
        engine.run()
        logging.disable(logging.NOTSET)
        values = np.array([*engine.get_results().values()])
        return np.where(values < 0, np.nan, values)

    return numbers


def federate(scene: Record, rng: np.random.Generator) -> Record:
    numbers = [one["id"] for one in scene["categories"]]
    present = {(note["image_id"], note["category_id"]) for note in scene["annotations"]}
    for image in scene["images"]:
        absent = [number for number in numbers if (image["id"], number) not in present]
        image["neg_category_ids"] = [number for number in absent if rng.random() < 0.5]
        image["not_exhaustive_category_ids"] = [number for number in numbers if rng.random() < 0.3]
    for one in scene["categories"]:
        one["frequency"] = str(rng.choice(["r", "c", "f"]))
    return scene


def federated_case(seed: int) -> Case:
    """As `case`, without crowds, and sometimes more than 300 detections in an image."""
    truth, found = case(seed)
    truth["annotations"] = [{k: v for k, v in note.items() if k != "iscrowd"} for note in truth["annotations"]]
    rng = np.random.default_rng(seed)
    return federate(truth, rng), found + found[::2] + found[::3] + found[1::2] if rng.random() < 0.3 else found


@pytest.mark.parametrize("block", range(20))
@pytest.mark.parametrize("task", [*FIELDS])
def test_all_numbers_equal_lvis_api(task: str, block: int, official: Any) -> None:
    for seed in range(10 * block, 10 * block + 10):
        truth, found = federated_case(seed)
        if not truth["annotations"] or not found:
            continue
        records = only(found, FIELDS[task])
        loaded = hotcoco.COCO(truth)
        values = lvis.score_lvis(loaded, loaded.load_res(records), task).metrics
        assert tuple(name.partition("/")[2] for name in values) == NAMES
        expected = official(truth, records, task)
        np.testing.assert_allclose(np.array([*values.values()]) / 100, expected, rtol=0, atol=1e-12, equal_nan=True)


@pytest.mark.parametrize("seed", range(40))
def test_fixed_ap_is_lvis_api_without_its_limit(seed: int, official: Any) -> None:
    truth, found = federated_case(seed)
    if not truth["annotations"] or not found:
        pytest.skip("an empty case")
    records = only(found, "bbox")
    loaded = hotcoco.COCO(truth)
    values = lvis.score_fixed(loaded, loaded.load_res(records), "box").metrics
    expected = official(truth, records, "box", -1)[[0, 6, 7, 8]]
    np.testing.assert_allclose(np.array([*values.values()]) / 100, expected, rtol=0, atol=1e-12, equal_nan=True)


def test_the_best_of_each_class_are_kept() -> None:
    scores = np.array([0.1, 0.9, 0.5, 0.9, 0.2, 0.5])
    assert lvis.best_of_each_class(scores, np.array([0, 0, 0, 1, 1, 0]), 2).tolist() == [
        False,
        True,
        True,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize("task", [*FIELDS])
def test_the_real_sample(task: str, real_data: Path) -> None:
    name = {"box": "bbox", "mask": "segm"}[task]
    folder = real_data / "lvis_perturbed_detections"
    expected = json.loads((folder / "expected_lvis_0.5.3.json").read_text())[name]["results"]
    truth = hotcoco.COCO(str(real_data / "lvis_val_100" / "data" / "lvis_val_100.json"))
    records = json.loads((folder / f"lvis_val_100_perturbed_{name}.json").read_text())
    values = lvis.score_lvis(truth, truth.load_res(records), task).metrics
    assert [*values.values()] == pytest.approx([100 * value for value in expected.values()], abs=1e-9)


@pytest.fixture
def scene() -> World:
    made = world(np.random.default_rng(1), images=6)
    made.truth["annotations"] = [note for note in made.truth["annotations"] if not note.pop("iscrowd")]
    federate(made.truth, np.random.default_rng(0))
    return made


@pytest.mark.parametrize("slots", [30, 500])
def test_the_evaluator_equals_lvis_api(slots: int, scene: World, official: Any) -> None:
    evaluator = DetectionEvaluator(LvisScorer(dataset=scene, extras=["fixed"]))
    evaluator.update(guesses(np.random.default_rng(0), scene, slots), batch(scene))
    metrics = evaluator.compute()
    for task in FIELDS:
        records = evaluator.results(task)
        expected = official(scene.truth, records, task)
        values = np.array([metrics[f"{task}/{name}"] for name in NAMES]) / 100
        np.testing.assert_allclose(values, expected, rtol=0, atol=1e-12, equal_nan=True)
        free = official(scene.truth, records, task, -1)
        assert metrics[f"{task}/AP_fixed"] / 100 == pytest.approx(free[0], abs=1e-12)
    assert set(evaluator.per_class()) == set(scene.meta.classes)
    assert evaluator.protocol["fixed"] == {"per_class": 10000}
    assert evaluator.protocol["tasks"]["box"]["max_detections"] == [300]


def test_a_ground_truth_without_federated_lists_is_named(scene: World) -> None:
    del scene.truth["images"][2]["neg_category_ids"]
    with pytest.raises(ValueError, match=rf"images {scene.truth['images'][2]['id']} has no neg_category_ids"):
        DetectionEvaluator(LvisScorer(dataset=scene))
