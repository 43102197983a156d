"""One buffer for the gradients of all poolings gives what autograd gives without it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from lineage.ops.fused_roi import split_levels
from lineage.ops.layers import shared_gradient
from lineage.ops.layers.shared_gradient import SharedMaps, share_gradient
from lineage.ops.roi_align import roi_align
from tests.models.compose import build
from tests.models.scenes import batch
from tests.ops.interpreter import run_interpreted


def test_shared_maps_equal_others_under_tritons_interpreter() -> None:
    run_interpreted("-m", "tests.ops.layers.interpreted_shared_gradient")


def test_maps_are_returned_as_they_are_where_no_kernel_runs() -> None:
    maps = [torch.ones(1, 2, 4, 4, requires_grad=True)]
    assert share_gradient(maps) is maps


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let maps be shared on the CPU, where plain torch stands for the kernels."""
    pytest.importorskip("triton", reason="Triton ships with torch on Linux only")
    from lineage.ops import roi_align_cuda
    from lineage.ops.layers import convolution_cuda

    def add_gradient(
        sums: Tensor, grad: Tensor, rois: Tensor, level: Tensor, images: int, sides: Sequence[int], ratio: int,
        aligned: bool, factor: float, touched: Tensor,
    ) -> None:  # fmt: skip
        leaf = torch.zeros(len(sums), sums.shape[1], requires_grad=True)
        with torch.enable_grad():
            bins = roi_align(split_levels(leaf, images, sides), rois, level, grad.shape[-1], ratio, aligned)
        sums += factor * torch.autograd.grad(bins, leaf, grad)[0]

    monkeypatch.setattr(roi_align_cuda, "align", lambda maps, *arguments: roi_align(list(maps), *arguments))
    monkeypatch.setattr(roi_align_cuda, "add_gradient", add_gradient)
    monkeypatch.setattr(convolution_cuda, "add", lambda sums, other, touched: (sums + other).to(other.dtype))
    monkeypatch.setattr(shared_gradient, "runs_fused", lambda maps: True)
    monkeypatch.setattr(shared_gradient, "runs_kernels", lambda x: True)
    monkeypatch.setattr("lineage.ops.roi_align.runs_fused", lambda maps: isinstance(maps, SharedMaps))


@pytest.mark.usefixtures("kernels")
def test_maps_without_gradient_are_returned_as_they_are() -> None:
    maps = [torch.ones(1, 2, 4, 4), torch.ones(1, 2, 2, 2)]
    assert share_gradient(maps) is maps
    maps[1].requires_grad_()
    assert share_gradient(maps) is maps
    maps[0].requires_grad_()
    assert isinstance(share_gradient(maps), SharedMaps)
    with torch.no_grad():
        assert share_gradient(maps) is maps


def gradients(model: nn.Module) -> tuple[Tensor, list[Tensor | None]]:
    """Return the loss of a step and the gradients of two of them, accumulated."""
    images, targets = batch([(64, 96), (60, 90)], [3, 2], 4, canvas=(64, 96))
    for _ in range(2):
        torch.manual_seed(0)
        loss = sum(loss.sum for loss in model.losses(images, targets).values())
        loss.backward()
    return loss.detach(), [parameter.grad for parameter in model.parameters()]


@pytest.mark.parametrize("name", ["mask_rcnn", "cascade_mask_rcnn", "mask_rcnn_c4", "panoptic_fpn", "pointrend"])
def test_a_detector_learns_the_same(name: str, request: pytest.FixtureRequest) -> None:
    torch.manual_seed(0)
    model = build(f"model={name}", *(("dataset=shapes_panoptic",) if "panoptic" in name else ())).eval()
    model.requires_grad_(True)
    loss, expected = gradients(model)
    model.zero_grad()
    request.getfixturevalue("kernels")
    shared_loss, actual = gradients(model)
    torch.testing.assert_close(shared_loss, loss)
    for ours, theirs in zip(actual, expected, strict=True):
        assert (ours is None) == (theirs is None)
        if theirs is not None:
            assert float((ours - theirs).norm()) <= 1e-4 * float(theirs.norm()) + 1e-7
