"""The evaluator of calibrated scores: each half of the images is measured with the map of the other."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest

from lineage.calibration.evaluator import CalibrationEvaluator
from lineage.calibration.fit import Choices, detect_images, fit_map, measure
from lineage.calibration.split import CalibrationError
from lineage.eval.document import document_of

COUNT = 60


def scene(images: int = COUNT) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return objects and detections: of ten detections with the score p, about 10 p / 2 are right."""
    generator = np.random.default_rng(0)
    annotations: list[dict[str, Any]] = []
    records: list[dict[str, Any]] = []
    for image in range(1, images + 1):
        for slot in range(8):
            box, score = [40.0 * slot, 0.0, 30.0, 30.0], float(generator.uniform(0.05, 0.95))
            if generator.random() < score / 2:
                annotations.append({"id": len(annotations) + 1, "image_id": image, "category_id": 1, "bbox": box,
                                    "area": 900.0, "iscrowd": 0})  # fmt: skip
            records.append({"image_id": image, "category_id": 1, "bbox": box, "score": score})
    document = {
        "images": [{"id": image, "file_name": f"{image}.png", "width": 320, "height": 32}
                   for image in range(1, images + 1)],
        "annotations": annotations, "categories": [{"id": 1, "name": "square"}],
    }  # fmt: skip
    return document, records


class FixedDetections:
    """Evaluator whose detections are those of a list."""

    protocol: dict[str, Any] = {"name": "fixed"}  # noqa: RUF012

    def __init__(self, records: list[dict[str, Any]]):
        self.records = records

    def check_outputs(self, detections: Any) -> None: ...

    def update(self, detections: Any, batch: Any) -> None: ...

    def compute(self) -> dict[str, float]:
        return {"box/AP50": 50.0}

    def per_class(self) -> dict[str, dict[str, float]]:
        return {}

    def results(self) -> list[dict[str, Any]]:
        return self.records


def make(method: str, images: int = COUNT) -> CalibrationEvaluator:
    document, records = scene(images)
    return CalibrationEvaluator(
        dataset=document_of(document), evaluator=lambda dataset: FixedDetections(records), method=method, by=(),
        target="precision", num_bins=10, score_thresh=0.0, task="box", seed=0,
    )  # fmt: skip


def test_metrics_are_the_mean_of_both_halves() -> None:
    evaluator = make("platt")
    metrics = evaluator.compute()
    assert metrics["box/AP50"] == 50.0
    document, records = scene()
    halves = [detect_images(document, records, half, "box", "coco") for half in evaluator.split]
    values = []
    for fit, test in (halves, halves[::-1]):
        function = fit_map([fit], Choices("platt"))
        values.append(measure(fit, test, function, 0.0, np.zeros((0, COUNT // 2 + 30))).values["D-ECE"])
    assert metrics["calibration/D-ECE"] == pytest.approx(np.mean(values))


def test_platt_repairs_an_offset_and_keeps_ap_and_rules() -> None:
    raw, platt = make("none"), make("platt")
    assert raw.protocol == platt.protocol
    before, after = raw.compute(), platt.compute()
    assert before["calibration/D-ECE"] == pytest.approx(25, abs=2)  # the mean of p / 2
    assert after["calibration/D-ECE"] < 10  # bins of 24 detections have an error of about 6.5 by chance
    assert after["calibration/AP"] == pytest.approx(before["calibration/AP"])
    assert after["calibration/NLL"] < before["calibration/NLL"]


def test_too_few_detections_are_a_warning_and_no_number(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        metrics = make("platt", images=2).compute()
    assert np.isnan(metrics["calibration/D-ECE"])
    assert "calibration was not measured" in caplog.text


def test_unknown_maps_are_refused() -> None:
    with pytest.raises(CalibrationError, match="choose one of none, temperature"):
        make("plat")
    with pytest.raises(CalibrationError, match="abts"):
        make("abts")
