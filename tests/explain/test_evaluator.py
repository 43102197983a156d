"""The evaluator of maps: what `lineage explain` writes of each detection, as means of a run's first images."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from lineage.data.collate import collate
from lineage.data.shapes.dataset import Shapes
from lineage.eval.evaluator import ModelReader
from lineage.eval.protocols.coco import CocoScorer
from lineage.explain.detectors import adapt_detector
from lineage.explain.evaluator import RULES, CanvasImage, ExplanationEvaluator
from lineage.explain.explain_image import explain_image
from lineage.explain.explained_image import describe_methods
from lineage.explain.methods import UnknownMethod
from lineage.explain.variants import detect_variants, select_image
from lineage.structures import Batch
from tests.explain.test_detectors import network

DATA = Shapes(seed=2, length=3, size=96, kinds=6)
MODEL = network("mask_rcnn", "dataset.classes=6")


def make(method: str, *measures: str, images: int = 2) -> ExplanationEvaluator:
    evaluator = ExplanationEvaluator(
        dataset=DATA, evaluator=partial(CocoScorer), method=method, measures=measures, target="class", images=images,
        detections=2, score_thresh=0.0, masks=8,
    )  # fmt: skip
    evaluator.read_model(MODEL)
    return evaluator


@pytest.fixture(scope="module")
def batch() -> Batch:
    return collate([DATA[index] for index in range(len(DATA))], torch.zeros(len(DATA), dtype=torch.int64))


@torch.inference_mode()
def run(evaluator: ExplanationEvaluator, batch: Batch) -> dict[str, float]:
    evaluator.update(MODEL.detect(batch.images), batch)
    return evaluator.compute()


def test_metrics_are_means_over_the_detections_of_the_first_images(batch: Batch) -> None:
    evaluator = make("odam", "place", "removal", "road", "sensitivity", images=1)
    assert isinstance(evaluator, ModelReader)
    metrics = run(evaluator, batch)
    assert "box/AP50" in metrics
    assert metrics["explain/detections"] == 2
    image = select_image(batch, 0)
    picture = CanvasImage("", image.images.pixels[0].permute(1, 2, 0).numpy())
    explained = explain_image(adapt_detector(MODEL), image, picture, DATA.meta, evaluator.request)
    pairs = [("energy_mask", "energy_in_mask"), ("ODI", "odi"), ("deletion", "deletion"), ("ROAD", "road"),
             ("sensitivity_n", "sensitivity_n")]  # fmt: skip
    rows: list[Any] = [describe_methods(detection, explained.detections)["odam"] for detection in explained.detections]
    for metric, name in pairs:
        assert metrics[f"explain/{metric}"] == pytest.approx(100 * np.mean([row[name] for row in rows]), rel=1e-4)


def test_a_map_without_class_equals_that_of_another_class_and_of_a_random_head(batch: Batch) -> None:
    """Eigen-CAM reads the feature map alone, so only random weights of the body change it."""
    metrics = run(make("eigen_cam", "dependence", images=1), batch)
    assert metrics["explain/class_correlation"] == pytest.approx(100)
    assert metrics["explain/head_correlation"] == pytest.approx(100)
    assert metrics["explain/neck_correlation"] < 90
    assert metrics["explain/model_correlation"] < 90
    gradient = run(make("gradient", "dependence", images=1), batch)
    assert gradient["explain/class_correlation"] < 99
    assert gradient["explain/head_correlation"] < 90


@pytest.mark.parametrize("method", ["random", "center", "d_rise"])
def test_baselines_and_masks_are_measured_alike(method: str, batch: Batch) -> None:
    evaluator = make(method, "place", "removal", images=1)
    assert evaluator.protocol == make("odam", "place", "removal", images=1).protocol
    metrics = run(evaluator, batch)
    assert 0 <= metrics["explain/energy_box"] <= 100
    assert metrics["explain/deletion"] > 0


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UnknownMethod, match="choose one of gradient"):
        make("gradcam", "place")
    with pytest.raises(UnknownMethod, match="choose of place, removal, road, sensitivity, dependence"):
        make("odam", "pointing")
    with pytest.raises(UnknownMethod, match="leave out dependence"):
        make("d_rise", "dependence")


def test_variants_in_a_batch_are_detected_as_alone(batch: Batch) -> None:
    images = select_image(batch, 1).images
    pixels = images.pixels.float()
    variants = [pixels, pixels * 0.5, pixels.flip(-1)]
    detect = adapt_detector(MODEL).detect_boxes
    for variant, detections in zip(variants, detect_variants(detect, images, iter(variants)), strict=True):
        alone = detect(images._replace(pixels=variant))
        torch.testing.assert_close(detections.scores, alone.scores, rtol=1e-3, atol=1e-4)


def test_the_texts_of_the_rules_are_those_that_digests_of_runs_hold() -> None:
    """They follow the constants, so a changed constant changes the protocol; then the new text belongs here."""
    assert RULES == {
        "regions": "constant",
        "layer": "the level that the region was read from",
        "d_rise": "16 x 16 cells, IoU x cosine",
        "correlation": "Spearman, in the box, before the ReLU",
        "removed": "as many pixels as the box has, in 10 steps",
        "road": "10 to 90 % of the image",
        "sensitivity": "25 subsets each of 1, 3, 10 and 30 % of the image",
    }
