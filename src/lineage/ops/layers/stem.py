"""The stem of a frozen ResNet on CUDA in half precision: pixels to the map after the max pooling, in three kernels.

A 7x7 convolution of stride 2 over three channels leaves matrix units idle. Blocks of 4 x 4 pixels as 48 channels make
it a 3x3 convolution of stride 1, which computes the 2 x 2 pixels of its map that belong to a block as four times as
many channels. The kernel that rearranges the pixels also normalizes them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lineage.ops.layers.kernels import HALVES, read_compute_type, runs_kernels
from lineage.structures import Images

SIDE, WINDOW = 4, 3  # pixels of a block, blocks that the convolution reads, along each axis


def runs_fused_stem(images: Images, conv: nn.Module, pool: nn.Module) -> bool:
    """Return whether `run_fused_stem` computes these layers: ResNet's, frozen, on whole blocks of pixels."""
    return (
        isinstance(conv, nn.Conv2d)
        and isinstance(pool, nn.MaxPool2d)
        and runs_kernels(conv.weight)
        and read_compute_type(conv.weight) in HALVES  # in float32 the filters' zeros cost more than is saved
        and not (torch.is_grad_enabled() and conv.weight.requires_grad)
        and conv.bias is None
        and (conv.in_channels, conv.kernel_size, conv.stride, conv.padding) == (3, (7, 7), (2, 2), (3, 3))
        and (pool.kernel_size, pool.stride, pool.padding, pool.ceil_mode) == (3, 2, 1, False)
        and images.pixels.shape[2] % SIDE == 0
        and images.pixels.shape[3] % SIDE == 0
        and images.pixels.dtype == torch.uint8
    )


@torch.no_grad()
def run_fused_stem(images: Images, mean: Tensor, std: Tensor, weight: Tensor, shift: Tensor) -> Tensor:
    """Compute maxpool(relu(conv7x7((pixels - mean) / std) + shift)) -> [B, C, H / 4, W / 4] in channels_last."""
    from lineage.ops.layers import stem_cuda  # Triton loads only where there is a GPU

    dtype = read_compute_type(weight)
    blocks = stem_cuda.pack_blocks(images.pixels, images.sizes, mean.flatten(), std.flatten(), dtype)
    y = F.conv2d(blocks, rearrange_filters(weight).to(dtype), padding=1)
    return stem_cuda.pool(y.contiguous(memory_format=torch.channels_last), shift)


def rearrange_filters(weight: Tensor) -> Tensor:
    """Return filters over blocks of 4 x 4 pixels: [O, 3, 7, 7] -> [2 * 2 * O, 48, 3, 3]

    Outputs are (row, column, O) of the 2 x 2 pixels of a block, the last row and the last column first; inputs are
    (colour, row, column). Of the 12 x 12 pixels that are read, those outside of a pixel's 7x7 window have weight 0.
    """
    windows = F.pad(weight, (3, 4, 3, 4)).unfold(2, SIDE * WINDOW, 2).unfold(3, SIDE * WINDOW, 2)
    blocks = windows.unflatten(5, (WINDOW, SIDE)).unflatten(4, (WINDOW, SIDE))  # [O, 3, 2, 2, 3, 4, 3, 4]
    filters = blocks.permute(2, 3, 0, 1, 5, 7, 4, 6).flatten(3, 5).flatten(0, 2)
    return filters.contiguous(memory_format=torch.channels_last)
