"""LVIS's 13 numbers and the fixed AP against lvis-api on two hundred federated cases and on its real sample."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lineage.eval.document import document_of
from lineage.eval.evaluator import DetectionEvaluator
from lineage.eval.predictions.coco_records import from_records
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

    def numbers(truth: Record, records: list[Record], task: str, limit: int | None = 300) -> np.ndarray:
        logging.disable(logging.WARNING)
        loaded = LVIS.__new__(LVIS)
        loaded.logger, loaded.dataset = logging.getLogger("lvis"), copy.deepcopy(truth)
        loaded._create_index()
        found = LVISResults(loaded, copy.deepcopy(records), -1 if limit is None else limit)
        engine = LVISEval(loaded, found, {"box": "bbox", "mask": "segm"}[task])
        engine.params.max_dets = engine.params.max_dets if limit is not None else 10**9  # per image and class
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


def scored(truth: Record, records: list[Record], task: str, extras: Sequence[str] = ()) -> dict[str, float]:
    """Metrics of result records in the order of the file."""
    scorer = LvisScorer(dataset=document_of(truth), tasks=[task], extras=extras)
    return scorer.score(from_records(records, truth["images"], scorer.category_ids, task), task).metrics


@pytest.mark.parametrize("block", range(20))
@pytest.mark.parametrize("task", [*FIELDS])
def test_all_numbers_equal_lvis_api(task: str, block: int, official: Any) -> None:
    for seed in range(10 * block, 10 * block + 10):
        truth, found = federated_case(seed)
        if not truth["annotations"] or not found:
            continue
        records = only(found, FIELDS[task])
        values = scored(truth, records, task)
        assert tuple(name.partition("/")[2] for name in values) == NAMES
        expected = official(truth, records, task)
        np.testing.assert_allclose(np.array([*values.values()]) / 100, expected, rtol=0, atol=1e-12, equal_nan=True)


def federated_export(seed: int, task: str) -> Case:
    """As `federated_case`, with objects and detections without area, and fields `iscrowd` and `ignore`."""
    truth, found = federated_case(1000 + seed)
    rng = np.random.default_rng(seed)
    for note in truth["annotations"]:
        note |= {"iscrowd": int(rng.random() < 0.3)} if rng.random() < 0.5 else {}
        note |= {"ignore": int(rng.random() < 0.5)} if rng.random() < 0.5 else {}
        note |= {"area": 0} if rng.random() < 0.1 else {}
    records = only(found, FIELDS[task])
    for record in records:
        if rng.random() < 0.2:
            flat = {"box": [4, 4, *rng.permutation([0, 9]).tolist()], "mask": {"size": [64, 64], "counts": "PP4"}}[task]
            record[FIELDS[task]] = flat
    return truth, records


@pytest.mark.parametrize("block", range(15))
@pytest.mark.parametrize("task", [*FIELDS])
def test_what_vanishes_in_lvis_api_vanishes(task: str, block: int, official: Any) -> None:
    for seed in range(10 * block, 10 * block + 10):
        truth, records = federated_export(seed, task)
        if not truth["annotations"] or not records:
            continue
        values = np.array([*scored(truth, records, task).values()]) / 100
        expected = official(truth, records, task)
        np.testing.assert_allclose(values, expected, rtol=0, atol=1e-12, equal_nan=True, err_msg=f"case {seed}")


def test_an_empty_mask_is_no_detection() -> None:
    """One object, an empty mask at .9 and the perfect one at .5."""
    square = {"image_id": 1, "category_id": 1, "segmentation": [[5, 5, 25, 5, 25, 25, 5, 25]]}
    image = {"id": 1, "height": 64, "width": 64, "neg_category_ids": [], "not_exhaustive_category_ids": []}
    truth = {
        "images": [image], "categories": [{"id": 1, "name": "a", "frequency": "r"}],
        "annotations": [square | {"id": 1, "area": 400, "bbox": [5, 5, 20, 20]}],
    }  # fmt: skip
    empty = square | {"segmentation": {"size": [64, 64], "counts": "PP4"}, "score": 0.9}
    assert scored(truth, [empty, square | {"score": 0.5}], "mask")["mask/AP"] == pytest.approx(100)


def test_fixed_ap_counts_a_thousand_detections_of_a_class_in_an_image(official: Any) -> None:
    image = {"id": 1, "height": 999, "width": 999, "neg_category_ids": [], "not_exhaustive_category_ids": []}
    boxes = [[30 * (i % 32), 30 * (i // 32), 20, 20] for i in range(1000)]
    note = {"image_id": 1, "category_id": 1, "area": 400}
    truth = {
        "images": [image], "categories": [{"id": 1, "name": "a", "frequency": "r"}],
        "annotations": [note | {"id": i, "bbox": box} for i, box in enumerate(boxes, 1)],
    }  # fmt: skip
    records = [{"image_id": 1, "category_id": 1, "bbox": box, "score": 1 - i / 2000} for i, box in enumerate(boxes)]
    metrics = scored(truth, records, "box", ["fixed"])
    assert metrics["box/AP"] == pytest.approx(100 * 31 / 101)
    assert (
        metrics["box/AP_fixed"] == pytest.approx(100 * official(truth, records, "box", None)[0]) == pytest.approx(100)
    )


@pytest.mark.parametrize("seed", range(40))
def test_fixed_ap_is_lvis_api_without_its_limit(seed: int, official: Any) -> None:
    truth, found = federated_case(seed)
    if not truth["annotations"] or not found:
        pytest.skip("an empty case")
    records = only(found, "bbox")
    metrics = scored(truth, records, "box", ["fixed"])
    values = {name: value for name, value in metrics.items() if name.endswith("_fixed")}
    expected = official(truth, records, "box", None)[[0, 6, 7, 8]]
    np.testing.assert_allclose(np.array([*values.values()]) / 100, expected, rtol=0, atol=1e-12, equal_nan=True)


def test_the_best_of_each_class_are_kept() -> None:
    scores = np.array([0.1, 0.9, 0.5, 0.9, 0.2, 0.5])
    assert lvis.best_of_each_group(scores, np.array([0, 0, 0, 1, 1, 0]), 2).tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("task", [*FIELDS])
def test_the_real_sample(task: str, real_data: Path) -> None:
    name = {"box": "bbox", "mask": "segm"}[task]
    folder = real_data / "lvis_perturbed_detections"
    expected = json.loads((folder / "expected_lvis_0.5.3.json").read_text())[name]["results"]
    truth = json.loads((real_data / "lvis_val_100" / "data" / "lvis_val_100.json").read_text())
    records = json.loads((folder / f"lvis_val_100_perturbed_{name}.json").read_text())
    values = scored(truth, records, task)
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
        free = official(scene.truth, records, task, None)
        assert metrics[f"{task}/AP_fixed"] / 100 == pytest.approx(free[0], abs=1e-12)
    assert set(evaluator.per_class()) == set(scene.meta.classes)
    assert evaluator.protocol["fixed"] == {"per_class": 10000}
    assert evaluator.protocol["tasks"]["box"]["max_detections"] == [300]


def test_a_ground_truth_without_federated_lists_is_named(scene: World) -> None:
    del scene.truth["images"][2]["neg_category_ids"]
    with pytest.raises(ValueError, match=rf"images {scene.truth['images'][2]['id']} has no neg_category_ids"):
        DetectionEvaluator(LvisScorer(dataset=scene))
