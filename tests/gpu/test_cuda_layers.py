"""Layers that are fused on a CUDA device against plain torch on it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lineage.models.detectors.retinanet import Subnet
from lineage.ops.layers.convolution import convolve
from lineage.ops.layers.level_canvas import can_pack, pack
from lineage.ops.layers.shared_gradient import SharedMaps, scale_gradient, share_gradient
from lineage.ops.roi_align import roi_align

pytestmark = pytest.mark.gpu
CUDA = torch.device("cuda")


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
