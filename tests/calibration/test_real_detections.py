"""Real detections of a small detector on COCO: the outside case, measured before by other code (shared facts).

D-ECE raw 13.2, temperature 5.1, BTS 3.3, Platt .7 percent; NLL .197, .126, .111, .080; AP 17.44, but BTS 17.38.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lineage.calibration.detector_measures import measure_ap
from lineage.calibration.fit import Choices, DetectedImages, Measures, detect_images, fit_map, measure
from lineage.calibration.operating_point import optimise_lrp
from lineage.calibration.overlaps import HALF, compute_overlaps, match
from lineage.calibration.split import split_halves
from lineage.eval.document import document_of
from lineage.eval.predictions.coco_records import from_records
from lineage.eval.protocols.coco import CocoScorer
from lineage.eval.protocols.lvis import LvisScorer

METHODS = ("temperature", "bts", "platt", "isotonic")


@pytest.fixture(scope="module")
def real(real_data: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    results = real_data / "coco_mini_detections" / "coco-mini-val_bbox.json"
    if not results.is_file():
        pytest.skip(f"no {results}")
    annotations = real_data / "coco_mini" / "annotations" / "instances_val2017.json"
    return json.loads(annotations.read_text()), json.loads(results.read_text())


def measure_all(document: dict[str, Any], records: list[dict[str, Any]], seed: int) -> dict[str, Measures]:
    split = split_halves([image["id"] for image in document["images"]], seed)
    fit, test = (detect_images(document, records, images, "box", "coco") for images in split)
    none = np.zeros((0, test.num_images))
    measures = {"raw": measure(fit, test, lambda detections: detections.scores, 0.0, none)}
    for method in METHODS:  # ten quantile bins and that from .999 on
        function = fit_map([fit], Choices(method, num_bins=11))
        measures[method] = measure(fit, test, function, 0.0, none)
    return measures


@pytest.fixture(scope="module")
def halves(real: tuple[dict[str, Any], list[dict[str, Any]]]) -> list[dict[str, Measures]]:
    return [measure_all(*real, seed) for seed in range(10)]


def mean(halves: list[dict[str, Measures]], method: str, name: str) -> float:
    return float(np.mean([measures[method].values[name] for measures in halves]))


def test_detection_errors_of_the_outside_case(halves: list[dict[str, Measures]]) -> None:
    errors = {method: mean(halves, method, "D-ECE") for method in ("raw", *METHODS)}
    assert errors == pytest.approx({"raw": 13.22, "temperature": 5.12, "bts": 3.27, "platt": 0.68, "isotonic": 0.66},
                                   abs=0.15)  # fmt: skip  # other random halves
    losses = {method: mean(halves, method, "NLL") for method in ("raw", *METHODS)}
    assert losses == pytest.approx({"raw": 0.197, "temperature": 0.126, "bts": 0.111, "platt": 0.080,
                                    "isotonic": 0.087}, abs=0.003)  # fmt: skip


def test_maps_that_rise_keep_ap_to_the_last_digit(halves: list[dict[str, Measures]]) -> None:
    for measures in halves:
        for method in ("temperature", "platt", "isotonic"):
            assert measures[method].values["AP"] == measures["raw"].values["AP"]
            assert measures[method].values["oLRP"] == measures["raw"].values["oLRP"]
    assert any(measures["bts"].values["AP"] != measures["raw"].values["AP"] for measures in halves)


def test_platt_improves_the_other_half_of_every_split(halves: list[dict[str, Measures]]) -> None:
    for name in ("D-ECE", "NLL", "LaECE", "LaACE_0"):
        assert all(measures["platt"].values[name] < measures["raw"].values[name] for measures in halves)


def test_a_high_threshold_lowers_d_ece_and_is_seen_by_oce(real: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    """Values of a calibrated detector; facts section 3."""
    document, records = real
    split = split_halves([image["id"] for image in document["images"]], 0)
    fit, test = (detect_images(document, records, images, "box", "coco") for images in split)
    function = fit_map([fit], Choices("platt"))
    none = np.zeros((0, test.num_images))
    low, high = (measure(fit, test, function, score, none).values for score in (0.0, 0.5))
    assert high["OCE"] > low["OCE"]


def test_ap_and_lrp_are_those_of_the_scorer(real: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    document, records = real
    images = [image["id"] for image in document["images"]]
    detected: DetectedImages = detect_images(document, records, images, "box", "coco")
    matches = match(detected.overlaps, detected.detections.scores)
    weights = np.ones(detected.num_images)
    scorer = CocoScorer(dataset=document_of(document), tasks=["box"], extras=["lrp"])
    scores = scorer.score(detected.predictions, "box").metrics
    assert measure_ap(matches, weights, detected.num_classes) == pytest.approx(scores["box/AP"], abs=1e-9)
    errors, _ = optimise_lrp(matches, HALF, weights, detected.num_classes)
    assert 100 * np.nanmean(errors) == pytest.approx(scores["box/oLRP"], abs=1e-9)


@pytest.mark.parametrize("task", ["box", "mask"])
def test_lvis_matches_as_its_scorer_does(real_data: Path, task: str) -> None:
    folder = real_data / "lvis_val_100"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    document = json.loads(next(folder.rglob("lvis_val_100.json")).read_text())
    name = {"box": "bbox", "mask": "segm"}[task]
    results = next(path for path in (real_data / "lvis_perturbed_detections").glob("*.json") if name in path.name)
    dataset = document_of(document)
    scorer = LvisScorer(dataset=dataset, tasks=[task])
    predictions = from_records(json.loads(results.read_text()), document["images"], scorer.category_ids, task)
    overlaps = compute_overlaps(document, predictions, scorer.category_ids, task, "lvis")
    ap = measure_ap(match(overlaps, predictions.scores), np.ones(len(document["images"])), len(scorer.category_ids))
    assert ap == pytest.approx(scorer.score(predictions, task).metrics[f"{task}/AP"], abs=1e-6)


def test_numbers_of_other_libraries(real: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    """D-ECE of netcal 1.4.0 (ECE(10, detection=True)) and OCE of uq-detr 0.1.1; both have no crowds."""
    document, records = real
    document = {**document, "annotations": [one for one in document["annotations"] if not one["iscrowd"]]}
    images = [image["id"] for image in document["images"]]
    detected = detect_images(document, records, images, "box", "coco")
    values = measure(detected, detected, lambda detections: detections.scores, 0.0, np.zeros((0, len(images)))).values
    assert values["D-ECE"] == pytest.approx(13.661392714635082, abs=1e-10)
    assert values["OCE"] == pytest.approx(79.85275443208637, abs=1e-10)
