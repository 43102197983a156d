"""Greedy non-maximum suppression with a fixed output shape: a flag per box.

torchvision's `nms` returns as many indices as survive, so it waits for the GPU and breaks a compiled graph. Here a row
of sorted boxes gives a row of flags. On the CPU torchvision's kernel does the work; CUDA has its own
kernel in nms_cuda.py, registered on first use there.
"""

from __future__ import annotations

import torch
import torchvision
from torch import Tensor


@torch.library.custom_op("lineage::nms", mutates_args=(), device_types="cpu")
def nms(boxes: Tensor, groups: Tensor, valid: Tensor, threshold: float) -> Tensor:
    """Return flags of the boxes that survive: boxes [R, K, 4], groups [R, K], valid [R, K] -> [R, K].

    Boxes are sorted by falling score. Only boxes of one group (a class, a pyramid level) suppress each other.
    """
    keep = torch.zeros_like(valid)
    falling = torch.arange(boxes.shape[1], 0, -1, dtype=torch.float64)
    # groups are moved apart in float64, where the shift cannot round a coordinate
    apart = boxes.double() + (groups * (boxes.amax() - boxes.amin() + 1).double())[..., None]
    for row, (candidates, usable) in enumerate(zip(apart, valid, strict=True)):
        index = usable.nonzero()[:, 0]
        keep[row, index[torchvision.ops.nms(candidates[index], falling[index], threshold)]] = True
    return keep


@nms.register_fake
def _(boxes: Tensor, groups: Tensor, valid: Tensor, threshold: float) -> Tensor:
    return torch.empty_like(valid)


@nms.register_kernel("cuda")
def _(boxes: Tensor, groups: Tensor, valid: Tensor, threshold: float) -> Tensor:
    from lineage.ops.nms_cuda import suppress  # Triton loads only where there is a GPU

    return suppress(boxes, groups, valid, threshold)
