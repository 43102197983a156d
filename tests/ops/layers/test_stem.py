"""A frozen stem in three kernels against its four layers."""

import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from lineage.ops.layers.stem import rearrange_filters

KERNELS = """
import torch
import torch.nn.functional as F
from lineage.models.backbones.normalize import Normalize
from lineage.ops.layers import stem_cuda
from lineage.ops.layers.stem import rearrange_filters
from lineage.structures import Images
generator = torch.Generator().manual_seed(0)
pixels = torch.randint(0, 256, (2, 3, 16, 24), generator=generator, dtype=torch.uint8)
images = Images(pixels, torch.tensor([[16.0, 24.0], [11.0, 17.0]]), torch.zeros(2, dtype=torch.int64))
weight, shift = torch.randn(5, 3, 7, 7, generator=generator), torch.randn(5, generator=generator)
normalize = Normalize([120.0, 110.0, 100.0], [58.0, 57.0, 60.0])
y = F.conv2d(normalize(images), weight, stride=2, padding=3)
expected = F.max_pool2d(F.relu(y + shift[:, None, None]), 3, 2, 1)
blocks = stem_cuda.pack_blocks(pixels, images.sizes, normalize.mean.flatten(), normalize.std.flatten(), torch.float32)
ours = F.conv2d(blocks, rearrange_filters(weight))
torch.testing.assert_close(ours, y, rtol=1e-4, atol=1e-4)
pooled = stem_cuda.pool(y.contiguous(memory_format=torch.channels_last), shift)
torch.testing.assert_close(pooled, expected)
"""


def test_the_kernels_agree_with_the_layers_under_tritons_interpreter() -> None:
    pytest.importorskip("triton", reason="Triton ships with torch on Linux only")
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    run = subprocess.run([sys.executable, "-c", KERNELS], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_filters_over_blocks_are_the_7x7_convolution() -> None:
    x, weight = torch.randn(1, 3, 8, 12, dtype=torch.float64), torch.randn(4, 3, 7, 7, dtype=torch.float64)
    blocks = F.pad(F.pixel_unshuffle(x, 2), (2, 1, 2, 1, 0, 4))
    torch.testing.assert_close(F.conv2d(blocks, rearrange_filters(weight)), F.conv2d(x, weight, stride=2, padding=3))
