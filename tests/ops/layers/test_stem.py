"""A frozen stem in three kernels against its four layers."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lineage.ops.layers.stem import rearrange_filters, runs_fused_stem
from lineage.structures import Images
from tests.ops.interpreter import run_interpreted

KERNELS = """
import torch
import torch.nn.functional as F
from lineage.models.backbones.normalize import Normalize
from lineage.ops.layers import stem_cuda
from lineage.ops.layers.stem import rearrange_filters, run_fused_stem
from lineage.structures import Images
generator = torch.Generator().manual_seed(0)
pixels = torch.randint(0, 256, (2, 3, 16, 24), generator=generator, dtype=torch.uint8)
images = Images(pixels, torch.tensor([[16.0, 24.0], [11.0, 17.0]]), torch.zeros(2, dtype=torch.int64))
weight, shift = torch.randn(5, 3, 7, 7, generator=generator), torch.randn(5, generator=generator)
normalize = Normalize([120.0, 110.0, 100.0], [58.0, 57.0, 60.0])
y = F.conv2d(normalize(images), weight, stride=2, padding=3)
expected = F.max_pool2d(F.relu(y + shift[:, None, None]), 3, 2, 1)
blocks = stem_cuda.pack_blocks(pixels, images.sizes, normalize.mean.flatten(), normalize.std.flatten(), torch.float32)
ours = F.conv2d(blocks, rearrange_filters(weight), padding=1)
pooled = stem_cuda.pool(ours.contiguous(memory_format=torch.channels_last), shift)
torch.testing.assert_close(pooled, expected, rtol=1e-4, atol=1e-4)
lost = ours.clone()
lost[0, 3, 1, 1] = torch.nan  # as torch's pooling, a pixel that is no number reaches its windows
windows = stem_cuda.pool(lost.contiguous(memory_format=torch.channels_last), shift).isnan()
assert windows[0, 3, 1:3, 1:3].all() and windows.sum() == 4
whole = run_fused_stem(images, normalize.mean, normalize.std, weight, shift)
torch.testing.assert_close(whole, expected, rtol=1e-4, atol=1e-4)
assert whole.dtype == torch.float32 and whole.is_contiguous(memory_format=torch.channels_last)
"""


def test_the_kernels_agree_with_the_layers_under_tritons_interpreter() -> None:
    run_interpreted("-c", KERNELS)


def test_filters_over_blocks_are_the_7x7_convolution() -> None:
    x, weight = torch.randn(1, 3, 8, 12, dtype=torch.float64), torch.randn(4, 3, 7, 7, dtype=torch.float64)
    y = F.conv2d(F.pixel_unshuffle(x, 4), rearrange_filters(weight), padding=1)
    whole = F.pixel_shuffle(y.unflatten(1, (2, 2, 4)).flip(1, 2).permute(0, 3, 1, 2, 4, 5).flatten(1, 3), 2)
    torch.testing.assert_close(whole, F.conv2d(x, weight, stride=2, padding=3))


CONV = {"kernel_size": 7, "stride": 2, "padding": 3, "bias": False}
POOL = {"kernel_size": 3, "stride": 2, "padding": 1}


@pytest.mark.parametrize(
    ("conv", "pool", "size"),
    [
        ({"kernel_size": 5}, {}, (8, 12)),
        ({"stride": 1}, {}, (8, 12)),
        ({"padding": 2}, {}, (8, 12)),
        ({"bias": True}, {}, (8, 12)),
        ({}, {"kernel_size": 2}, (8, 12)),
        ({}, {"stride": 1}, (8, 12)),
        ({}, {"padding": 0}, (8, 12)),
        ({}, {"ceil_mode": True}, (8, 12)),
        ({}, {}, (6, 12)),
        ({}, {}, (8, 10)),
    ],
)
def test_other_stems_run_layer_by_layer(
    monkeypatch: pytest.MonkeyPatch, conv: dict[str, int], pool: dict[str, int], size: tuple[int, int]
) -> None:
    monkeypatch.setattr("lineage.ops.layers.stem.runs_kernels", lambda weight: True)
    monkeypatch.setattr("lineage.ops.layers.stem.read_compute_type", lambda weight: torch.bfloat16)
    images = Images(torch.zeros(1, 3, 8, 12, dtype=torch.uint8), torch.tensor([[8.0, 12.0]]), torch.zeros(1).long())
    usual = nn.Conv2d(3, 4, **CONV).requires_grad_(False), nn.MaxPool2d(**POOL)
    assert runs_fused_stem(images, *usual)
    other = nn.Conv2d(3, 4, **(CONV | conv)).requires_grad_(False), nn.MaxPool2d(**(POOL | pool))
    assert not runs_fused_stem(images._replace(pixels=torch.zeros(1, 3, *size, dtype=torch.uint8)), *other)


def test_a_stem_that_learns_or_reads_other_pixels_runs_layer_by_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    images = Images(torch.zeros(1, 3, 8, 12, dtype=torch.uint8), torch.tensor([[8.0, 12.0]]), torch.zeros(1).long())
    conv, pool = nn.Conv2d(3, 4, **CONV), nn.MaxPool2d(**POOL)
    assert not runs_fused_stem(images, conv.requires_grad_(False), pool)  # no GPU
    monkeypatch.setattr("lineage.ops.layers.stem.read_compute_type", lambda weight: torch.float32)
    with monkeypatch.context() as patched:
        patched.setattr("lineage.ops.layers.stem.runs_kernels", lambda weight: True)
        assert not runs_fused_stem(images, conv, pool)
    monkeypatch.setattr("lineage.ops.layers.stem.runs_kernels", lambda weight: True)
    monkeypatch.setattr("lineage.ops.layers.stem.read_compute_type", lambda weight: torch.bfloat16)
    assert runs_fused_stem(images, conv, pool)
    assert not runs_fused_stem(images._replace(pixels=images.pixels.float()), conv, pool)
    assert not runs_fused_stem(images, nn.Sequential(conv), pool)
    assert not runs_fused_stem(images, conv, nn.AvgPool2d(3, 2, 1))
    assert not runs_fused_stem(images, conv.requires_grad_(True), pool)
    with torch.no_grad():
        assert runs_fused_stem(images, conv, pool)
