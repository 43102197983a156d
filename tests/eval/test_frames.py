"""PSNR and SSIM by their formulas, written out another way; means over frames and clips, each frame once."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from lineage.eval.evaluator import Evaluator
from lineage.eval.metrics import image_quality
from lineage.eval.metrics.bootstrap import bootstrap_clips, draw_weights
from lineage.eval.predictions.accumulator import IncompleteError
from lineage.eval.protocols.frames import METRICS, FrameEvaluator
from lineage.structures import FrameBatch, FramePairs


def draw(*shape: int) -> Tensor:
    return torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(len(shape)))


def test_psnr_of_a_shift_by_one_is_known() -> None:
    image = draw(1, 3, 16, 16).clamp(max=254)
    assert float(image_quality.psnr(image, image + 1)) == pytest.approx(20 * math.log10(255))
    assert float(image_quality.psnr(image, image)) == 100.0  # infinite


def test_psnr_of_a_frame_average() -> None:
    first, second, between = draw(3, 3, 20, 24)
    mean = (first.double() + second.double()) / 2
    stored = mean.round().to(torch.uint8)
    error = np.square(stored.numpy().astype(float) - between.numpy()).mean()
    assert float(image_quality.psnr(stored[None], between[None])) == pytest.approx(10 * math.log10(255**2 / error))


def test_ssim_is_that_of_the_paper() -> None:
    """The oracle filters with scipy, as scikit-image does: truncated at 3.5 sigma, 5 pixels; borders are left out."""
    image = draw(1, 3, 40, 36)
    other = (image.int() + draw(3, 40, 36)[None].int() // 4 - 32).clamp(0, 255).to(torch.uint8)
    values = []
    for x, y in zip(image[0].numpy().astype(float), other[0].numpy().astype(float), strict=True):
        ux, uy, uxx, uyy, uxy = (
            gaussian_filter(plane, 1.5, truncate=3.5)[5:-5, 5:-5] for plane in (x, y, x * x, y * y, x * y)
        )
        c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
        top = (2 * ux * uy + c1) * (2 * (uxy - ux * uy) + c2)
        values.append((top / ((ux**2 + uy**2 + c1) * (uxx - ux**2 + uyy - uy**2 + c2))).mean())
    assert float(image_quality.ssim(image, other)) == pytest.approx(np.mean(values), abs=1e-9)
    assert float(image_quality.ssim(image, image)) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="11 pixels"):
        image_quality.ssim(image[..., :10], other[..., :10])


def test_ssim_of_flat_images_is_a_closed_form() -> None:
    dark, light = torch.full((1, 3, 16, 16), 50, dtype=torch.uint8), torch.full((1, 3, 16, 16), 150, dtype=torch.uint8)
    c1 = 2.55**2
    expected = (2 * 50 * 150 + c1) / (50**2 + 150**2 + c1)
    assert float(image_quality.ssim(dark, light)) == pytest.approx(expected)


def make_batch(numbers: list[int], truth: Tensor, size: tuple[int, int]) -> FrameBatch:
    sizes = torch.tensor([size] * len(numbers), dtype=torch.float32)
    pairs = FramePairs(torch.stack((truth, truth), 1), sizes, torch.zeros(len(numbers), dtype=torch.int64))
    return FrameBatch(pairs, truth, torch.tensor(numbers), sizes.long())


def test_means_are_over_frames_and_padding_does_not_count() -> None:
    evaluator = FrameEvaluator(SimpleNamespace(ids=torch.arange(1, 4), clips=["a", "a", "b"]))
    assert isinstance(evaluator, Evaluator)
    truth = draw(3, 3, 32, 32).clamp(10, 240)
    predicted = truth.int()
    predicted[0] += 1
    predicted[1] += 2
    predicted[2] += 4
    predicted[..., 24:] = 0  # beyond the size
    evaluator.update(predicted[:2] / 255, make_batch([1, 2], truth[:2], (32, 24)))
    evaluator.update(predicted[[2, 0]] / 255, make_batch([3, 1], truth[[2, 0]], (32, 24)))  # 1 once more
    psnr = [20 * math.log10(255 / shift) for shift in (1, 2, 4)]
    metrics = evaluator.compute()
    assert metrics["frame/PSNR"] == pytest.approx(np.mean(psnr))
    clips = evaluator.per_class()
    assert {name: clips[name]["frame/PSNR"] for name in clips} == pytest.approx({"a": np.mean(psnr[:2]), "b": psnr[2]})
    assert [record["clip"] for record in evaluator.results()] == ["a", "a", "b"]
    assert 0 < metrics["frame/SSIM"] < 100
    assert evaluator.examples[1].predicted.shape == (3, 32, 24)


def test_frames_are_scored_as_they_would_be_stored() -> None:
    evaluator = FrameEvaluator(SimpleNamespace(ids=torch.arange(1, 2), clips=["a"]))
    truth = torch.full((1, 3, 16, 16), 255, dtype=torch.uint8)
    evaluator.update(torch.full((1, 3, 16, 16), 1.7), make_batch([1], truth, (16, 16)))
    assert evaluator.compute()["frame/PSNR"] == 100.0


def test_the_bootstrap_draws_whole_clips() -> None:
    def record(clip: str, value: float) -> dict[str, Any]:
        return {"clip": clip, "frame/PSNR": value, "frame/SSIM": 2 * value}

    frames = [record("a", 10.0), record("a", 20.0), record("b", 30.0)]
    replicates = bootstrap_clips(frames, METRICS)
    counts = draw_weights(2)  # how often a and b are drawn
    expected = (30 * counts[:, 0] + 30 * counts[:, 1]) / (2 * counts[:, 0] + counts[:, 1])
    assert replicates["frame/PSNR"] == pytest.approx(expected.tolist())
    assert replicates["frame/SSIM"] == pytest.approx((2 * expected).tolist())
    assert {round(value, 6) for value in replicates["frame/PSNR"]} == {15.0, 20.0, 30.0}


def test_a_missing_frame_is_an_error() -> None:
    evaluator = FrameEvaluator(SimpleNamespace(ids=torch.arange(1, 3), clips=["a", "b"]))
    truth = draw(1, 3, 16, 16)
    evaluator.update(truth / 255, make_batch([1], truth, (16, 16)))
    with pytest.raises(IncompleteError, match="never evaluated: 2"):
        evaluator.compute()
    evaluator.check_outputs(truth)
    for wrong in (truth[0], truth[None], truth[:, :2], truth.numpy()):
        with pytest.raises(ValueError, match="reads images"):
            evaluator.check_outputs(wrong)
