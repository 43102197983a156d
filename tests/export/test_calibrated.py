"""An exported detector with calibrated scores computes the map of calibration.json."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from lineage.calibration.calibration_file import Calibration, write_calibration
from lineage.calibration.fit import Choices, choose_fit
from lineage.calibration.platt import Platt
from lineage.calibration.score_map import METHODS, GroupedMap, ScoredDetections
from lineage.calibration.split import CalibrationError
from lineage.calibration.temperature import Temperature
from lineage.cli.main import main
from lineage.models.export.onnx import open_session, run_session
from lineage.models.export.program import ExportableDetector
from lineage.run.inference.calibrated_model import CalibratedModel, apply_map
from lineage.run.inference.export import draw_inputs
from lineage.run.restore import restore
from lineage.structures import Detections, Images
from tests.trained import COUNT, run_folder

CLASSES = {number: f"class {number}" for number in range(1, COUNT + 1)}
BY_CLASS = GroupedMap(("class",), (), {"2": Platt(0.5, -1.0)}, Platt(2.0, 0.3))


@pytest.mark.parametrize("method", sorted({*METHODS} - {"abts"}))
def test_maps_in_torch_equal_those_of_numpy(method: str) -> None:
    generator = np.random.default_rng(0)
    scores = generator.uniform(0, 1, 2000)
    targets = (generator.uniform(0, 1, 2000) < scores**2).astype(np.float64)
    function = choose_fit(Choices(method))(scores, targets)
    probed = np.concatenate([[0.0, 1.0, 0.999, 0.5], scores[:50], generator.uniform(0, 1, 500)])  # edges among them
    np.testing.assert_allclose(apply_map(function, torch.from_numpy(probed)).numpy(), function(probed), atol=1e-12)


class FixedDetector(nn.Module):
    def detect(self, images: Images) -> Detections:
        scores, labels = torch.tensor([[0.9, 0.6, 0.3]]), torch.tensor([[0, 1, 1]])
        return Detections(torch.zeros(1, 3, 4), scores, labels, scores > 0, labels, torch.zeros(1, 3, 7))


def calibration(grouped: GroupedMap, classes: dict[int, str] = CLASSES) -> Calibration:
    return Calibration("platt", "precision", "box", grouped, classes, frozenset(), "calibration.json")


def test_each_class_has_its_map() -> None:
    model = CalibratedModel(FixedDetector(), calibration(BY_CLASS), [*CLASSES])
    images = Images(torch.zeros(1, 3, 8, 8), torch.tensor([[8.0, 8.0]]), torch.zeros(1, dtype=torch.int64))
    detections = ScoredDetections(np.array([0.9, 0.6, 0.3]), np.array([1, 2, 2]), np.ones(3))
    np.testing.assert_allclose(model.detect(images).scores[0].numpy(), BY_CLASS(detections), rtol=1e-6)


def test_maps_by_size_and_of_other_classes_are_refused() -> None:
    by_size = GroupedMap(("size",), (100.0, 900.0), {}, Temperature(2.0))
    with pytest.raises(CalibrationError, match="without --by size"):
        CalibratedModel(FixedDetector(), calibration(by_size), [*CLASSES])
    with pytest.raises(CalibrationError, match="without the category ids 7, 8"):
        CalibratedModel(FixedDetector(), calibration(BY_CLASS), [*CLASSES, 7, 8])


@pytest.mark.slow
def test_an_exported_file_has_the_scores_of_the_map(tmp_path: Path) -> None:
    run, out = run_folder(tmp_path / "run", "retinanet"), tmp_path / "model.onnx"
    classes = {category["id"]: category["name"] for category in restore(str(run), [], tmp_path).meta.categories()}
    write_calibration(run / "calibration.json", calibration(BY_CLASS, classes), {})
    assert main(["export", str(run), str(out), "--calibration", str(run)]) == 0
    content = json.loads(out.with_name("model.onnx.json").read_text())
    assert content["calibration"]["method"] == "platt"
    assert "calibrated" in next(output for output in content["outputs"] if output["name"] == "scores")["meaning"]
    pixels, sizes = draw_inputs((128, 128), 1, 0, 21)
    names = [output["name"] for output in content["outputs"]]
    values = dict(zip(names, run_session(open_session(out), {"pixels": pixels.numpy(), "sizes": sizes.numpy()}),
                      strict=True))  # fmt: skip
    with torch.no_grad():
        raw = dict(zip(names, ExportableDetector(restore(str(run), [], tmp_path).model)(pixels, sizes), strict=True))
    rows = raw["valid"][0]
    detections = ScoredDetections(
        raw["scores"][0][rows].double().numpy(), raw["labels"][0][rows].numpy() + 1, np.ones(int(rows.sum()))
    )
    assert len(detections.scores) > 5
    np.testing.assert_allclose(values["scores"][0][rows.numpy()], BY_CLASS(detections), atol=1e-4)
