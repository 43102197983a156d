"""Focal loss: RetinaNet (arXiv:1708.02002), section 3. With gamma = 0 it is the alpha-balanced cross entropy.

Classes are independent sigmoids, so background is a row of zeros and has no class of its own.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lineage.ops.layers.kernels import runs_kernels


class FocalLoss(nn.Module):
    """Equation 5 per logit; `alpha` weighs objects, 1 - alpha background; null weighs both by 1 (equation 4)."""

    def __init__(self, *, alpha: float | None, gamma: float):
        super().__init__()
        self.alpha, self.gamma = alpha, gamma

    def forward(self, logits: Tensor, gt: Tensor) -> Tensor:
        """logits and gt (0 or 1) of one shape -> unreduced loss of that shape"""
        if runs_kernels(logits) and logits.dtype == gt.dtype == torch.float32 and logits.numel():
            losses: Tensor = _Focal.apply(logits.contiguous(), gt.contiguous(), self.alpha, self.gamma)
            return losses
        return focal(logits, gt, self.alpha, self.gamma)


def focal(logits: Tensor, gt: Tensor, alpha: float | None, gamma: float) -> Tensor:
    """Return the loss of each logit in operations of torch."""
    gt_logits = torch.where(gt > 0, logits, -logits)  # p_t = sigmoid(gt_logits)
    losses = F.softplus(-gt_logits)
    if gamma:  # (1 - p_t)^gamma through its logarithm: no infinite slope where p_t is 1 and gamma < 1
        losses = losses * torch.exp(-gamma * F.softplus(gt_logits))
    return losses if alpha is None else losses * torch.where(gt > 0, alpha, 1 - alpha)


class _Focal(torch.autograd.Function):
    """The same on CUDA: one kernel forward, one backward."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, gt: Tensor, alpha: float | None, gamma: float) -> Tensor:
        from lineage.ops.layers import focal_cuda  # Triton loads only where there is a GPU

        ctx.save_for_backward(logits, gt)
        ctx.alpha, ctx.gamma = alpha, gamma
        return focal_cuda.focal(logits, gt, alpha, gamma)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        from lineage.ops.layers import focal_cuda

        logits, gt = ctx.saved_tensors
        return focal_cuda.focal_backward(logits, gt, grad, ctx.alpha, ctx.gamma), None, None, None
