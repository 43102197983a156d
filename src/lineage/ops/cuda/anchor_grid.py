"""The CUDA kernel of models/proposals/anchor_grid.py: base anchors at every position of a map."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from lineage.ops.layers.kernels import EXACT

BLOCK = 1024  # coordinates per program


@triton.jit(do_not_specialize=["total", "width", "kinds", "stride"])
def _repeat(base, out, total, width, kinds, stride, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    index = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = index < total
    cell = index // (kinds * 4)
    position = tl.where(index % 2 == 0, cell % width, cell // width)  # x at even places, y at odd ones
    corner = tl.load(base + index % (kinds * 4), mask=inside, other=0.0)
    tl.store(out + index, position.to(tl.float32) * stride + corner, mask=inside)


def repeat(base: Tensor, height: int, width: int, stride: float) -> Tensor:
    """Repeat the base anchors [K, 4] at every position of a map of height x width -> [H * W * K, 4]"""
    kinds = len(base)
    out = torch.empty(height * width * kinds, 4, device=base.device)
    with torch.cuda.device_of(base):
        grid = (triton.cdiv(out.numel(), BLOCK),)
        _repeat[grid](base.contiguous(), out, out.numel(), width, kinds, float(stride), BLOCK=BLOCK, **EXACT)
    return out
