"""The stem of a frozen ResNet on CUDA: pixels to the map after the max pooling, in three kernels.

A 7x7 convolution of stride 2 over three channels leaves matrix units idle. Blocks of 2 x 2 pixels as 12 channels make
it a 4x4 convolution of stride 1 with the same products; the kernel that rearranges the pixels also normalizes them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lineage.ops.layers.kernels import FLOATS, runs_kernels
from lineage.structures import Images

CHANNELS = 16  # 3 colours x 2 x 2 pixels, and zeros up to a multiple of 8


def runs_fused_stem(images: Images, conv: nn.Module, pool: nn.Module) -> bool:
    """Return whether `run_fused_stem` computes these layers: ResNet's, frozen, on a canvas of even sides."""
    return (
        isinstance(conv, nn.Conv2d)
        and isinstance(pool, nn.MaxPool2d)
        and runs_kernels(conv.weight)
        and not (torch.is_grad_enabled() and conv.weight.requires_grad)
        and conv.bias is None
        and (conv.in_channels, conv.kernel_size, conv.stride, conv.padding) == (3, (7, 7), (2, 2), (3, 3))
        and (pool.kernel_size, pool.stride, pool.padding, pool.ceil_mode) == (3, 2, 1, False)
        and images.pixels.shape[2] % 4 == 0
        and images.pixels.shape[3] % 4 == 0
        and images.pixels.dtype == torch.uint8
    )


@torch.no_grad()
def run_fused_stem(images: Images, mean: Tensor, std: Tensor, weight: Tensor, shift: Tensor) -> Tensor:
    """Compute maxpool(relu(conv7x7((pixels - mean) / std) + shift)) -> [B, C, H / 4, W / 4] in channels_last."""
    from lineage.ops.layers import stem_cuda  # Triton loads only where there is a GPU

    dtype = torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else weight.dtype
    dtype = dtype if dtype in FLOATS else torch.float32
    blocks = stem_cuda.pack_blocks(images.pixels, images.sizes, mean.flatten(), std.flatten(), dtype)
    y = F.conv2d(blocks, rearrange_filters(weight).to(dtype))
    return stem_cuda.pool(y.contiguous(memory_format=torch.channels_last), shift)


def rearrange_filters(weight: Tensor) -> Tensor:
    """Return filters over blocks of 2 x 2 pixels: [O, 3, 7, 7] -> [O, CHANNELS, 4, 4], channels (colour, row, column).

    A row and a column of zeros come first, as blocks begin one pixel before the 7x7 window.
    """
    blocks = F.pad(weight, (1, 0, 1, 0)).unflatten(3, (4, 2)).unflatten(2, (4, 2))  # [O, 3, 4, 2, 4, 2]
    filters = blocks.permute(0, 1, 3, 5, 2, 4).flatten(1, 3)  # [O, 12, 4, 4]
    return F.pad(filters, (0, 0, 0, 0, 0, CHANNELS - filters.shape[1])).contiguous(memory_format=torch.channels_last)
