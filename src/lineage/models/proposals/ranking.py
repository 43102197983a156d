"""The highest scores of rows, or of each segment of a row: torch's topk, on CUDA kernels of our own.

torch takes some 15 launches for a long row and sorts what it found with one program per row.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lineage.ops.layers.kernels import needs_gradient, runs_triton

MAX_SEGMENTS = 5  # what the kernels know


def ranks_segments(scores: Tensor, sizes: Sequence[int]) -> bool:
    """Return whether our kernels rank segments of `sizes`: on CUDA, float32, up to five, without a gradient."""
    fits = scores.dtype == torch.float32 and len(sizes) <= MAX_SEGMENTS
    return fits and runs_triton(scores) and not needs_gradient(scores)


def top_k(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k highest scores of rows [B, N], best first, and their indices: [B, k] and [B, k] int64."""
    if ranks_segments(scores, scores.shape[1:]):
        values, indices = top_k_of_segments(scores, scores.shape[1:], k)
        return values[:, 0], indices[:, 0]
    values, indices = scores.topk(k)
    return values, indices


def top_k_of_segments(scores: Tensor, sizes: Sequence[int], k: int) -> tuple[Tensor, Tensor]:
    """Return the k highest scores of each segment, best first, and their indices in the row, both [B, S, k].

    scores [B, A]: segments of `sizes`, one after the other, which `ranks_segments` accepts. Places of a segment that
    has fewer than k hold -infinity and index -1. Of equal scores the lower index comes first.
    """
    from lineage.ops.cuda import top_k as kernels  # Triton loads only where there is a GPU

    return kernels.top_k(scores, sizes, k)
