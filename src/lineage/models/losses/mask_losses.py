"""The loss of a mask: Mask R-CNN (arXiv:1703.06870), section 3: one sigmoid per pixel."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from lineage.ops.layers.kernels import needs_gradient, runs_kernels


def sum_entropy(logits: Tensor, goal: Tensor) -> Tensor:
    """Return the binary cross entropy of masks, summed over pixels: logits and goal in 0..1, [B, N, M, M] -> [B, N]"""
    if runs_kernels(logits) and logits.shape == goal.shape and goal.dtype == torch.float32 and not needs_gradient(goal):
        losses: Tensor = _EntropySum.apply(logits.flatten(0, 1).contiguous(), goal.flatten(0, 1).contiguous())
        return losses.view(logits.shape[:2])
    return F.binary_cross_entropy_with_logits(logits, goal, reduction="none").sum((2, 3))


class _EntropySum(torch.autograd.Function):
    """One kernel forward, one backward."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, goal: Tensor) -> Tensor:
        from lineage.ops.cuda import mask_loss  # Triton loads only where there is a GPU

        ctx.save_for_backward(logits, goal)
        return mask_loss.sum_entropy(logits, goal)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        from lineage.ops.cuda import mask_loss

        logits, goal = ctx.saved_tensors
        return mask_loss.sum_entropy_backward(logits, goal, grad), None
