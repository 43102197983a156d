"""Planted evidence: the class hangs on one red square, beside a larger blue one that another class hangs on.

A network of one 1x1 convolution, whose maps are known: a method that deserves trust points at the red square, its
deletion falls below that of a random map and its insertion rises above. Those that do not are listed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lineage.explain.d_rise import explain_by_masks
from lineage.explain.deletion import (
    area_under_curve,
    score_of_detection,
    trace_deletion,
    trace_insertion,
)
from lineage.explain.methods import D_RISE, METHODS, explain
from lineage.explain.pointing import measure_discrimination, measure_energy, points_inside
from lineage.structures import Detections, Images
from tests.explain.networks import NetworkOutput

Curve = dict[str, Any]
SIDE = 48
RED, BLUE = torch.zeros(SIDE, SIDE, dtype=torch.bool), torch.zeros(SIDE, SIDE, dtype=torch.bool)
RED[28:38, 6:16] = True
BLUE[4:24, 24:44] = True
FAIL = {
    "deconvnet",  # passes positive signals also where the ReLU was closed: everywhere
    "eigen_cam",  # reads no class: the larger square wins
}


def planted() -> NetworkOutput:
    """S = 3 mean(red) - mean(blue), where red = relu(R - (G + B) / 2 - 40) at each pixel, and blue likewise."""
    generator = torch.Generator().manual_seed(0)
    pixels = 100 + 20 * torch.rand(1, 3, SIDE, SIDE, generator=generator)
    pixels[:, 0, RED], pixels[:, 1, RED], pixels[:, 2, RED] = 230.0, 40.0, 40.0
    pixels[:, 0, BLUE], pixels[:, 1, BLUE], pixels[:, 2, BLUE] = 40.0, 40.0, 230.0
    convolution = nn.Conv2d(3, 2, 1)
    convolution.weight.data = torch.tensor([[1, -0.5, -0.5], [-0.5, -0.5, 1]])[:, :, None, None]
    convolution.bias = nn.Parameter(torch.tensor([-40.0, -40.0]))
    weight = torch.tensor([3.0, -1.0])
    output = NetworkOutput(
        nn.Sequential(convolution, nn.ReLU()), lambda features: (features.mean((2, 3))[0] * weight).sum(), pixels
    )
    output.baseline = torch.full_like(pixels, 110.0)
    return output


OUTPUT = planted()
MAPS = explain(OUTPUT, METHODS)


def score(variants: Iterator[Tensor]) -> list[float]:
    with torch.no_grad():
        return [float(OUTPUT.score(OUTPUT.features(pixels))) for pixels in variants]


def areas(values: Tensor) -> tuple[float, float]:
    curve: Curve = {
        "pixels": OUTPUT.pixels,
        "fill": OUTPUT.baseline,
        "values": values,
        "count": int(RED.sum()),
        "steps": 10,
    }
    return area_under_curve(trace_deletion(score, **curve)), area_under_curve(trace_insertion(score, **curve))


@pytest.mark.parametrize("method", sorted({*METHODS} - FAIL - {D_RISE}))
def test_methods_that_deserve_it_find_the_evidence(method: str) -> None:
    values = MAPS[method].values
    positive = values.clamp(min=0)
    assert points_inside(values.numpy(), RED.numpy())
    assert measure_energy(values.numpy(), RED.numpy()) > 2 * float(RED.float().mean())
    random = torch.rand(SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    deletion, insertion = areas(positive)
    random_deletion, random_insertion = areas(random)
    assert deletion < random_deletion
    assert insertion > random_insertion


@pytest.mark.parametrize("method", sorted(FAIL))
def test_methods_that_fail_miss_it(method: str) -> None:
    assert not points_inside(MAPS[method].values.numpy(), RED.numpy())


@pytest.mark.parametrize("method", ["grad_cam", "odam", "layer_cam", "guided_backprop"])
def test_the_other_object_gets_no_energy(method: str) -> None:
    values = MAPS[method].values.numpy()
    if method == "guided_backprop":  # the negative weight of blue sends it a negative signal, which guided drops
        assert measure_energy(values, BLUE.numpy()) == 0
    assert measure_discrimination(values, RED.numpy(), [BLUE.numpy()]) < 0.01


def detect_square(images: Images) -> Detections:
    """Detect the red square, with a score that is the share of its pixels that are red, and a blue one likewise."""
    is_lit = images.pixels > 170
    scores = torch.stack([is_lit[:, channel, mask].float().mean(1) for channel, mask in ((0, RED), (2, BLUE))], 1)
    count, nothing = len(scores), torch.zeros(len(scores))
    rows = torch.stack([
        torch.stack([scores[:, 0], nothing, 1 - scores[:, 0]], 1),
        torch.stack([nothing, scores[:, 1], 1 - scores[:, 1]], 1),
    ], 1)  # fmt: skip
    return Detections(
        boxes=torch.tensor([[6.0, 28, 16, 38], [24.0, 4, 44, 24]]).expand(count, 2, 4),
        scores=scores,
        labels=torch.tensor([0, 1]).expand(count, 2),
        valid=scores > 0.05,
        proposal_index=torch.zeros(count, 2, dtype=torch.int64),
        probabilities=rows,
    )


def images_of(pixels: Tensor) -> Images:
    return Images(pixels, torch.tensor([[float(SIDE), float(SIDE)]]), torch.zeros(1, dtype=torch.int64))


def test_d_rise_tells_two_detections_apart() -> None:
    images = images_of(OUTPUT.pixels)
    maps = explain_by_masks(detect_square, images, detect_square(images), OUTPUT.baseline, masks=600, cells=6)
    for values, own, other in ((maps[0], RED, BLUE), (maps[1], BLUE, RED)):
        assert points_inside(values.numpy(), own.numpy())
        assert measure_discrimination(values.numpy(), own.numpy(), [other.numpy()]) < 0.2


def test_the_score_of_a_detection_falls_with_its_pixels() -> None:
    """Half of the square's pixels are removed: the score is one half; the other square's score stays 1."""
    images = images_of(OUTPUT.pixels)
    detections = detect_square(images)
    curve: Curve = {
        "pixels": OUTPUT.pixels,
        "fill": OUTPUT.baseline,
        "values": RED.float(),
        "count": 100,
        "steps": 2,
    }
    own = trace_deletion(score_of_detection(detect_square, images, detections, 0), **curve)
    other = trace_deletion(score_of_detection(detect_square, images, detections, 1), **curve)
    assert own == pytest.approx([1, 0.5, 0])
    assert other == [1, 1, 1]
    assert area_under_curve(own) == pytest.approx(0.5)


def test_insertion_is_deletion_backwards() -> None:
    """A linear score and a map equal to its terms: removing (4, 3, 2, 1) in order leaves 10, 6, 3, 1, 0."""
    pixels = torch.tensor([4.0, 1, 3, 2]).view(1, 1, 2, 2).expand(1, 3, 2, 2)
    curve: Curve = {
        "pixels": pixels,
        "fill": torch.zeros(1, 3, 2, 2),
        "values": pixels[0, 0],
        "count": 4,
        "steps": 4,
    }

    def total(variants: Iterator[Tensor]) -> list[float]:
        return [float(x[0, 0].sum()) for x in variants]

    assert trace_deletion(total, **curve) == [10, 6, 3, 1, 0]
    assert trace_insertion(total, **curve) == [0, 4, 7, 9, 10]
    assert area_under_curve([10, 6, 3, 1, 0]) == pytest.approx((10 / 2 + 6 + 3 + 1) / 4)
