"""Layers of heads and the stem, fused in half precision on a CUDA device, against plain torch in float32 on it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lineage.models.backbones.normalize import Normalize
from lineage.ops.layers.class_masks import enlarge_and_filter
from lineage.ops.layers.flat_linear import FlatLinear
from lineage.ops.layers.joined_linear import apply_joined
from lineage.ops.layers.rectified_linear import linear_relu
from lineage.ops.layers.stem import run_fused_stem, runs_fused_stem
from lineage.structures import Images

pytestmark = pytest.mark.gpu
CUDA = torch.device("cuda")
HALF = torch.bfloat16


def draw(*shape: int) -> Tensor:
    """Return random numbers that half precision holds exactly."""
    return torch.randn(shape, device=CUDA).to(HALF)


def compare(
    fused: Sequence[Tensor], exact: Sequence[Tensor], leaves: Sequence[Tensor], tolerance: float = 2e-2
) -> None:
    """Compare values and gradients of what a fused layer and float32 compute."""
    grads = [torch.randn_like(x) for x in exact]
    ours = torch.autograd.grad(fused, leaves, [grad.to(x) for grad, x in zip(grads, fused, strict=True)])
    theirs = torch.autograd.grad(exact, leaves, grads)
    for x, y in zip((*fused, *ours), (*exact, *theirs), strict=True):
        assert float((x.float() - y.float()).norm() / y.float().norm()) < tolerance


def test_rectified_layers() -> None:
    torch.manual_seed(0)
    regions = draw(2048, 256, 7, 7).contiguous(memory_format=torch.channels_last).requires_grad_()
    layer = FlatLinear(256 * 49, 1024).to(CUDA)
    with torch.autocast("cuda", dtype=HALF):
        fused = linear_relu(regions, layer)
    assert type(fused.grad_fn).__name__ == "_LinearReLUBackward"
    exact = F.relu(F.linear(regions.float().flatten(1), layer.weight.to(HALF).float(), layer.bias.to(HALF).float()))
    compare([fused], [exact], [layer.weight, layer.bias])


def test_classes_and_boxes_as_one_product() -> None:
    torch.manual_seed(0)
    x, layers = draw(2048, 1024).requires_grad_(), [nn.Linear(1024, count).to(CUDA) for count in (81, 4)]
    with torch.autocast("cuda", dtype=HALF):
        fused = apply_joined(x, *layers)
    assert type(fused[0].grad_fn).__name__ == "_BothBackward"
    exact = [layer(x.float()) for layer in layers]
    compare(fused, exact, [x, *layers[0].parameters(), *layers[1].parameters()])


def test_masks_of_a_class() -> None:
    torch.manual_seed(0)
    layer = nn.ConvTranspose2d(256, 256, 2, stride=2).to(CUDA, memory_format=torch.channels_last)
    x = draw(64, 256, 14, 14).contiguous(memory_format=torch.channels_last).requires_grad_()
    filters = torch.randn(64, 256, device=CUDA, requires_grad=True)
    with torch.autocast("cuda", dtype=HALF):
        fused = enlarge_and_filter(x, layer, filters)
    assert type(fused.grad_fn).__name__ == "_FilterBackward"
    exact = torch.einsum("rchw,rc->rhw", F.relu(layer(x.float())), filters)
    # values that half precision rounds to another side of 0 are rectified there
    compare([fused], [exact], [layer.bias, filters], tolerance=5e-2)


def test_the_stem() -> None:
    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8, device=CUDA)
    images = Images(pixels, torch.tensor([[64.0, 96.0], [50.0, 61.0]], device=CUDA), torch.zeros(2).long().to(CUDA))
    conv = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False).to(CUDA).requires_grad_(False)
    shift, normalize = torch.randn(64, device=CUDA), Normalize([120.0, 110.0, 100.0], [58.0, 57.0, 60.0]).to(CUDA)
    with torch.autocast("cuda", dtype=HALF):
        assert runs_fused_stem(images, conv, nn.MaxPool2d(3, 2, 1))
        fused = run_fused_stem(images, normalize.mean, normalize.std, conv.weight, shift)
    exact = F.max_pool2d(F.relu(conv(normalize(images)) + shift[:, None, None]), 3, 2, 1)
    assert fused.dtype == HALF
    assert float((fused.float() - exact).norm() / exact.norm()) < 1e-2
