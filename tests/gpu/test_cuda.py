"""Equality on a CUDA device: of it and the CPU, and of recorded and eager steps."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from lineage.eval.predictions.accumulator import DetectionAccumulator
from lineage.eval.predictions.paste import paste
from lineage.eval.predictions.paste_cuda import paste_cuda
from lineage.structures import Losses
from lineage.train.detection_module import combine_losses
from lineage.train.engines.engine import make_engine
from lineage.train.engines.step_graph import GraphEngine
from tests.eval.scenes import batch as scene_batch
from tests.eval.scenes import guesses, share, world
from tests.eval.test_paste import boxes_around, smooth_masks
from tests.models.compose import DETECTORS, build, keep_all
from tests.models.scenes import batch, proposals

pytestmark = pytest.mark.gpu
CUDA = torch.device("cuda")
SIZE = (128, 160)
PANOPTIC = ("dataset=shapes_panoptic",)


def make(name: str) -> nn.Module:
    torch.manual_seed(0)
    return build(f"model={name}", *(PANOPTIC if "panoptic" in name else ()))


def inputs(model: nn.Module, seed: int = 0) -> tuple:  # type: ignore[type-arg]
    images, targets = batch([SIZE, (110, 150)], [3, 2], 4, canvas=SIZE, seed=seed)
    if not hasattr(model, "proposals") or "RPN" not in type(model.proposals).__name__:
        images = images._replace(proposals=proposals(targets))
    return images, targets


def move(value: object) -> object:
    return tree_map_only(Tensor, lambda field: field.to(CUDA), value)


def means(losses: Losses) -> Tensor:
    return combine_losses(losses)[1].cpu()


@pytest.mark.parametrize("name", DETECTORS)
def test_losses_and_scores_equal_those_of_the_cpu(name: str) -> None:
    model = make(name).train()
    images, targets = inputs(model)
    on_cuda = deepcopy(model).to(CUDA)  # before batch norm counts
    keep_all(on_cuda)
    keep_all(model)
    make_engine("eager", on_cuda, CUDA)
    actual, expected = means(on_cuda.losses(*move((images, targets)))), means(model.losses(images, targets))
    torch.testing.assert_close(actual, expected, rtol=2e-3, atol=2e-3)
    with torch.no_grad():
        scores, cuda_scores = model.eval().detect(images).scores, on_cuda.eval().detect(move(images)).scores.cpu()
    torch.testing.assert_close(cuda_scores, scores, rtol=0, atol=5e-3)


@pytest.mark.parametrize("name", ["mask_rcnn", "cascade_mask_rcnn", "keypoint_rcnn", "retinanet", "fast_rcnn_fpn"])
def test_gradients_equal_those_of_the_cpu(name: str) -> None:
    model = make(name).train()
    batch_inputs = inputs(model)
    on_cuda = deepcopy(model).to(CUDA)
    make_engine("eager", on_cuda, CUDA)
    combine_losses(model.losses(*batch_inputs))[0].backward()
    combine_losses(on_cuda.losses(*move(batch_inputs)))[0].backward()
    for parameter, expected in zip(on_cuda.parameters(), model.parameters(), strict=True):
        assert (parameter.grad is None) == (expected.grad is None)
    ours, theirs = (
        torch.cat([p.grad.flatten().cpu() for p in m.parameters() if p.grad is not None]) for m in (on_cuda, model)
    )
    assert float((ours - theirs).norm() / theirs.norm()) < 1e-2


def gradients(engine: object, model: nn.Module, batch_inputs: object, bf16: bool) -> tuple[Tensor, Tensor]:
    for parameter in model.parameters():
        parameter.grad = None
    with torch.autocast("cuda", dtype=torch.bfloat16, enabled=bf16):
        loss, losses, _ = combine_losses(engine.losses(*batch_inputs))  # type: ignore[attr-defined, misc]
    loss.backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]), losses


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("name", ["mask_rcnn", "cascade_mask_rcnn", "keypoint_rcnn", "retinanet", "mask_rcnn_c4",
                                  "faster_rcnn_vgg", "pointrend", "fast_rcnn"])  # fmt: skip
def test_a_recorded_step_is_the_eager_one(name: str, bf16: bool) -> None:
    """Recorded with one batch and replayed with another."""
    model = make(name).to(CUDA).train()
    recorded = make_engine("graph", model, CUDA)
    eager = make_engine("eager", model, CUDA)
    batches = [move(inputs(model, seed)) for seed in (0, 0, 0, 0, 0, 0, 0, 1)]
    for batch_inputs in batches:
        actual, losses = gradients(recorded, model, batch_inputs, bf16)
    expected, expected_losses = gradients(eager, model, batches[-1], bf16)
    assert isinstance(recorded, GraphEngine)
    assert recorded.refusal is None
    assert recorded.graphs
    torch.testing.assert_close(losses, expected_losses, rtol=1e-2 if bf16 else 1e-4, atol=1e-3)
    assert float((actual - expected).norm() / expected.norm()) < (5e-2 if bf16 else 1e-3)


def test_a_recorded_detection_is_the_eager_one() -> None:
    model = make("mask_rcnn").to(CUDA).eval()
    keep_all(model)
    engine = make_engine("graph", model, CUDA)
    images = [move(inputs(model, seed)[0]) for seed in (0, 0, 0, 1)]
    with torch.inference_mode():
        results = [engine.detect(image) for image in images]
        expected = model.detect(images[-1])
    torch.testing.assert_close(results[-1].scores, expected.scores)
    torch.testing.assert_close(results[-1].masks, expected.masks, atol=1e-4, rtol=1e-4)


def test_a_step_waits_for_nothing() -> None:
    model = make("mask_rcnn").to(CUDA).train()
    engine = make_engine("graph", model, CUDA)
    batch_inputs = move(inputs(model))
    for _ in range(8):
        gradients(engine, model, batch_inputs, bf16=True)
    torch.cuda.set_sync_debug_mode("error")
    try:
        gradients(engine, model, batch_inputs, bf16=True)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_step_that_reads_a_value_runs_eagerly_and_says_why() -> None:
    model = make("mask_rcnn").to(CUDA).train()
    engine = make_engine("graph", model, CUDA)
    losses = model.losses

    def read(*arguments: object) -> Losses:
        result = losses(*arguments)
        result["rpn_cls"].sum.item()
        return result

    model.losses = read
    for _ in range(6):
        gradients(engine, model, move(inputs(model)), bf16=False)
    assert "the host waits for the device" in engine.refusal  # type: ignore[attr-defined]


@pytest.mark.parametrize("cells", [1, 28, 112])
def test_masks_pasted_on_the_device_equal_those_of_the_cpu(cells: int) -> None:
    generator = torch.Generator().manual_seed(cells)
    masks, boxes = smooth_masks(200, cells, generator), boxes_around(200, (480, 640), generator)
    masks[::4] = (masks[::4] > 0.5).float()  # with ties at one half
    boxes[::4] = boxes[::4].round()
    sizes = torch.randint(1, 700, (200, 2), generator=generator)
    expected = paste(masks.numpy(), boxes.numpy(), sizes.numpy()).counts()
    assert paste_cuda(masks.to(CUDA), boxes.to(CUDA), sizes.to(CUDA)).counts() == expected


def test_detections_of_the_device_are_collected_as_those_of_the_cpu() -> None:
    scene = world(np.random.default_rng(3), images=7)
    found, whole = guesses(np.random.default_rng(4), scene), scene_batch(scene)
    answers = []
    for device in (torch.device("cpu"), CUDA):
        accumulator = DetectionAccumulator(whole.ids.tolist(), ("box", "mask"))
        for images in ([0, 1, 2], [3], [4, 5, 6]):
            part = tree_map_only(Tensor, lambda field: field.to(device), share(images, found, whole))  # noqa: B023
            accumulator.update(*part)
        answers.append(accumulator.finish()[0])
    for name in ("images", "sizes", "image_index", "boxes", "scores", "labels", "rle", "rle_lengths"):
        np.testing.assert_array_equal(getattr(answers[0], name), getattr(answers[1], name))
