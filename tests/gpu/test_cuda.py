"""Equality on a CUDA device: of it and the CPU, and of recorded and eager steps."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from lineage.eval.predictions.accumulator import DetectionAccumulator
from lineage.eval.predictions.paste import paste
from lineage.eval.predictions.paste_cuda import paste_cuda
from lineage.models.detectors.retinanet import Subnet
from lineage.ops.layers.convolution import convolve
from lineage.ops.layers.level_canvas import can_pack, pack
from lineage.ops.layers.shared_gradient import SharedMaps, scale_gradient, share_gradient
from lineage.ops.roi_align import roi_align
from lineage.structures import Losses
from lineage.train.detection_module import combine_losses
from lineage.train.engines.engine import make_engine
from lineage.train.engines.step_graph import GraphEngine
from tests.eval.scenes import batch as scene_batch
from tests.eval.scenes import guesses, share, world
from tests.eval.test_paste import boxes_around, smooth_masks
from tests.models.compose import DETECTORS, build, keep_all
from tests.models.scenes import batch, proposals
from tests.train import tiny
from tests.train.test_resume import wait_for

pytestmark = pytest.mark.gpu
CUDA = torch.device("cuda")
SIZE = (128, 160)
PANOPTIC = ("dataset=shapes_panoptic",)


@pytest.fixture(autouse=True)
def exact() -> Iterator[None]:
    """Let float32 be float32."""
    switches = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [switch.allow_tf32 for switch in switches]
    for switch in switches:
        switch.allow_tf32 = False
    yield
    for switch, value in zip(switches, before, strict=True):
        switch.allow_tf32 = value


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


RUN = (*tiny.TINY[:1], "trainer=gpu", *tiny.TINY[2:], "optimizer.lr=0.0001")


def compare_runs(ours: Path, theirs: Path, tolerance: float) -> None:
    """Compare the losses of all steps, but for the few in which rounding decides which regions are sampled."""
    losses, expected = (torch.tensor(tiny.losses(run)) for run in (ours, theirs))
    assert len(losses) == len(expected) == 12
    differences = ((losses - expected) / expected).abs()
    assert differences.median() < tolerance, differences
    assert differences.max() < 0.1, differences


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_a_run_with_either_engine_has_equal_losses(tmp_path: Path, precision: str) -> None:
    """With accumulation: two micro batches a step."""
    options = (*RUN, f"trainer.precision={precision}", "data.images_per_device=1")
    for engine in ("eager", "graph"):
        output = tiny.train(tmp_path, *options, f"engine={engine}", f"hydra.run.dir={tmp_path / engine}")
        assert f"{precision}, {engine}" in output
    compare_runs(tmp_path / "graph", tmp_path / "eager", 1e-3 if precision == "32-true" else 1e-2)


def test_a_killed_recorded_run_goes_on(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    tiny.train(tmp_path, *RUN, f"hydra.run.dir={whole}")
    process = tiny.start(tmp_path, *RUN, f"hydra.run.dir={killed}")
    wait_for(killed / "checkpoints" / "step-0000006.ckpt", process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    tiny.train(tmp_path, f"resume={killed}")
    compare_runs(killed, whole, 1e-3)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("with_shortcut", [False, True])
def test_cudnns_fused_convolution_and_its_gradients(stride: int, with_shortcut: bool) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(32, 64, 3, stride, 1).to(CUDA, memory_format=torch.channels_last)
    x = torch.randn(2, 32, 20, 24, device=CUDA).to(torch.bfloat16, memory_format=torch.channels_last)
    with torch.no_grad():  # half precision, so that both rectify the same values
        conv.weight.copy_(conv.weight.bfloat16())
        conv.bias.copy_(conv.bias.bfloat16())
    y = F.conv2d(x.float(), conv.weight, conv.bias, stride, 1)
    shortcut = torch.randn_like(y).to(torch.bfloat16) if with_shortcut else None
    leaves = [leaf.requires_grad_() for leaf in (x, shortcut) if leaf is not None] + [conv.weight, conv.bias]
    exact = F.conv2d(x.float(), conv.weight, conv.bias, stride, 1)
    exact = F.relu(exact + shortcut.float() if shortcut is not None else exact)
    grad = torch.randn_like(exact)
    with torch.autocast("cuda", dtype=torch.bfloat16):
        fused = convolve(x, conv, shortcut=shortcut)
    assert type(fused.grad_fn).__name__ == "FusedConvolutionBackward"
    for ours, theirs in zip(
        [fused, *torch.autograd.grad(fused, leaves, grad.to(fused))],
        [exact, *torch.autograd.grad(exact, leaves, grad)],
        strict=True,
    ):
        assert float((ours.float() - theirs.float()).norm() / theirs.float().norm()) < 2e-2


def test_poolings_of_shared_maps_give_the_gradient_of_others() -> None:
    """Three poolings, of two or all levels, and a reader of the first and of the last map."""
    generator = torch.Generator(CUDA).manual_seed(0)
    maps = [torch.randn(2, 256, 64 // s, 80 // s, device=CUDA, generator=generator) for s in (1, 2, 4, 8)]
    maps = [x.to(torch.bfloat16, memory_format=torch.channels_last).requires_grad_() for x in maps]
    corners = torch.rand(100, 2, device=CUDA, generator=generator) * 6
    image = torch.arange(100, device=CUDA)[:, None] % 2
    rois, level = torch.cat((image, corners, corners + 3), 1), torch.arange(100, device=CUDA) % 3

    def read(features: list[Tensor]) -> Tensor:
        bins = [roi_align(features[:3], rois, level, 7, 2, True), roi_align(features[:2], rois, level % 2, 14, 2, True)]
        bins.append(roi_align(scale_gradient(features, 0.5)[:3], rois, level, 7, 0, True))
        return sum((x.float() ** 2).mean() for x in (*bins, features[0], features[3]))

    shared = share_gradient(maps)
    assert isinstance(shared, SharedMaps)
    together, alone = read(shared), read(maps)
    torch.testing.assert_close(together, alone)
    for _ in range(2):  # the second backward pass starts from zero as well
        gradients = [torch.autograd.grad(loss, maps, retain_graph=True) for loss in (together, alone)]
        assert all(ours.is_contiguous(memory_format=torch.channels_last) for ours in gradients[0][:3])
        for ours, theirs in zip(*gradients, strict=True):
            assert float((ours.float() - theirs.float()).norm() / theirs.float().norm()) < 1e-2


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_packed_levels_predict_what_single_levels_do(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    subnet = Subnet(64, 36, depth=4, width=64, norm=None).to(CUDA, memory_format=torch.channels_last)
    for parameter in subnet.parameters():
        nn.init.normal_(parameter, std=0.05)
    sides = ((50, 84), (25, 42), (13, 21), (7, 11), (4, 6))
    maps = [torch.randn(2, 64, *side, device=CUDA).to(dtype, memory_format=torch.channels_last) for side in sides]
    levels = [level.requires_grad_() for level in maps]
    assert can_pack(levels)
    with torch.autocast("cuda", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
        outputs = [subnet.join_packed(pack(levels), 4), subnet.join(levels, 4)]
    grad = torch.randn_like(outputs[0])
    packed, single = ([x, *torch.autograd.grad(x, [*levels, *subnet.parameters()], grad)] for x in outputs)
    for ours, theirs in zip(packed, single, strict=True):
        assert ours.dtype == theirs.dtype
        assert float((ours - theirs).float().norm() / theirs.float().norm()) < (
            1e-4 if dtype == torch.float32 else 5e-2
        )
