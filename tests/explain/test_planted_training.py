"""Planted evidence in a trained detector: its classes hang on one coloured square, so that a right map points there.

Measured: the share of detections whose map has its peak in the square, up to a cell of the finest feature map (4
pixels); deletion and insertion of as many pixels as the square has, beside those of a random map.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from lineage.explain.d_rise import explain_by_masks
from lineage.explain.deletion import area_under_curve, score_of_detection, trace_deletion, trace_insertion
from lineage.explain.detectors import RegionDetector, adapt_detector, find_normalization
from lineage.explain.methods import D_RISE, METHODS, explain
from lineage.explain.targets import DetectionOutput, class_logit
from lineage.models.roi_heads.postprocess import reorder
from lineage.ops import boxes as box_ops
from lineage.structures import Batch, Detections
from tests.explain.planted_shapes import PlantedShapes, train_detector

FIND = ("d_rise", "guided_backprop", "integrated_gradients", "odam", "smooth_grad")  # in all of 11 detections
MOSTLY = ("gradient", "gradient_x_input", "guided_grad_cam", "layer_cam", "ss_grad_cam")  # in 8 to 10 of them
FAIL = ("deconvnet", "eigen_cam", "grad_cam", "grad_cam_plus_plus", "xgrad_cam")  # in 1 to 5 of them
CELL, MASKS, DETECTIONS, PER_IMAGE = 4, 200, 10, 2


class Judgement(NamedTuple):
    is_found: float
    deletion: float
    insertion: float


@pytest.fixture(scope="module")
def judgements() -> dict[str, Judgement]:
    """Return the means over the detections of each method and of a random map."""
    detector, scenes = adapt_detector(train_detector().requires_grad_(False)), PlantedShapes(seed=2)
    rows: dict[str, list[Judgement]] = {}
    for index in range(40):
        if len(rows.get("random", [])) >= DETECTIONS:
            break
        for name, judgement in judge_scene(detector, scenes.draw_batch([index]), scenes[index].squares):
            rows.setdefault(name, []).append(judgement)
    assert len(rows["random"]) >= DETECTIONS, "the detector has not learned the squares"
    return {name: Judgement(*(sum(column) / len(column) for column in zip(*of_method, strict=True)))
            for name, of_method in rows.items()}  # fmt: skip


def judge_scene(detector: RegionDetector, batch: Batch, squares: Tensor) -> list[tuple[str, Judgement]]:
    """Return the judgements of the maps of a scene's right detections."""
    detections, regions = detector.detect(batch.images)
    pairs = pair(detections, batch)[:PER_IMAGE]
    if not pairs:
        return []
    fill = find_normalization(detector.model).mean.expand_as(batch.images.pixels)
    chosen = reorder(detections, torch.tensor([[slot for _, slot in pairs]]))
    by_masks = explain_by_masks(detector.detect_boxes, batch.images, chosen, fill, masks=MASKS)
    judged = []
    for (square, slot), values in zip(pairs, by_masks, strict=True):
        output = DetectionOutput(detector, batch.images, regions[slot], class_logit)
        maps = {name: heatmap.values.detach() for name, heatmap in explain(output, [*METHODS, "random"]).items()}
        score = score_of_detection(detector.detect_boxes, batch.images, detections, slot)
        x1, y1, x2, y2 = squares[square].tolist()
        for name, heatmap in (maps | {D_RISE: values}).items():
            y, x = divmod(int(heatmap.argmax()), heatmap.shape[1])
            is_found = x1 - CELL <= x < x2 + CELL and y1 - CELL <= y < y2 + CELL and float(heatmap.max()) > 0
            count = (x2 - x1) * (y2 - y1)
            areas = [area_under_curve(trace(score, batch.images.pixels.float(), fill, heatmap, count=count, steps=4))
                     for trace in (trace_deletion, trace_insertion)]  # fmt: skip
            judged.append((name, Judgement(float(is_found), *areas)))
    return judged


def pair(detections: Detections, batch: Batch) -> list[tuple[int, int]]:
    """Return (object, slot of its best detection from a score of .5 on) of the objects that are detected."""
    overlap = box_ops.iou(batch.targets.boxes, detections.boxes)[0]
    pairs = []
    for number, label in enumerate(batch.targets.labels[0].tolist()):
        matches = (overlap[number] > 0.5) & (detections.labels[0] == label) & detections.valid[0]
        matches &= (detections.scores[0] > 0.5) & bool(batch.targets.valid[0, number])
        if matches.any():
            pairs.append((number, int(matches.nonzero()[0, 0])))
    return pairs


@pytest.mark.slow
@pytest.mark.parametrize(("method", "share"), [(method, 0.9) for method in FIND] + [(method, 0.6) for method in MOSTLY])
def test_methods_that_find_more_than_a_share_of_the_squares(
    method: str, share: float, judgements: dict[str, Judgement]
) -> None:
    assert judgements[method].is_found > share
    assert judgements[method].deletion < judgements["random"].deletion
    assert judgements[method].insertion > judgements["random"].insertion


@pytest.mark.slow
@pytest.mark.parametrize("method", FAIL)
def test_methods_that_miss_it(method: str, judgements: dict[str, Judgement]) -> None:
    assert judgements[method].is_found < 0.6


@pytest.mark.slow
def test_every_method_is_in_a_list(judgements: dict[str, Judgement]) -> None:
    assert {*FIND, *MOSTLY, *FAIL} == {*METHODS} == {*judgements} - {"random"}
