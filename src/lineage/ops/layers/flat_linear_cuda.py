"""The CUDA kernel of flat_linear.py: filters by bin in place of by channel, or back, cast in the same pass."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from lineage.ops.layers.kernels import FUSED

SIDE = 64  # of the square that a program turns: it reads and writes whole lines of memory


@triton.jit
def _transpose(x, out, M, N, SIDE: tl.constexpr):  # type: ignore[no-untyped-def]
    first = tl.program_id(0).to(tl.int64) * M * N
    row, column = tl.program_id(1) * SIDE + tl.arange(0, SIDE), tl.program_id(2) * SIDE + tl.arange(0, SIDE)
    inside = (row < M)[:, None] & (column < N)[None, :]
    value = tl.load(x + first + row[:, None] * N + column[None, :], mask=inside).to(out.dtype.element_ty)
    tl.store(out + first + column[:, None] * M + row[None, :], tl.trans(value), mask=tl.trans(inside))


def transpose(x: Tensor, dtype: torch.dtype, out: Tensor | None = None) -> Tensor:
    """Return x [B, M, N], contiguous, as [B, N, M] of another type, in the memory of `out` if there is one."""
    batch, m, n = x.shape
    out = x.new_empty(batch, n, m, dtype=dtype) if out is None else out.view(batch, n, m)
    _transpose[(batch, triton.cdiv(m, SIDE), triton.cdiv(n, SIDE))](x, out, m, n, SIDE=SIDE, **FUSED)
    return out
