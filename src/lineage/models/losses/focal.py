"""Focal loss: RetinaNet (arXiv:1708.02002), section 3. With gamma = 0 it is the alpha-balanced cross entropy.

Classes are independent sigmoids, so background is a row of zeros and has no class of its own.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class FocalLoss(nn.Module):
    """Equation 5 per logit; `alpha` weighs objects, 1 - alpha background; null weighs both by 1 (equation 4)."""

    def __init__(self, *, alpha: float | None, gamma: float):
        super().__init__()
        self.alpha, self.gamma = alpha, gamma

    def forward(self, logits: Tensor, gt: Tensor) -> Tensor:
        """logits and gt (0 or 1) of one shape -> unreduced loss of that shape"""
        gt_logits = torch.where(gt > 0, logits, -logits)  # p_t = sigmoid(gt_logits)
        losses = F.softplus(-gt_logits)
        if self.gamma:  # (1 - p_t)^gamma through its logarithm: no infinite slope where p_t is 1 and gamma < 1
            losses = losses * torch.exp(-self.gamma * F.softplus(gt_logits))
        return losses if self.alpha is None else losses * torch.where(gt > 0, self.alpha, 1 - self.alpha)


def sum_focal(logits: Tensor, labels: Tensor, loss: FocalLoss) -> Tensor:
    """Sum the loss over classes: logits [B, N, C] on CUDA, labels [B, N] in 0..C, C for background -> [B, N] float32"""
    losses: Tensor = _FocalSum.apply(logits.flatten(0, 1).contiguous(), labels.flatten(), loss)
    return losses.view(labels.shape)


class _FocalSum(torch.autograd.Function):
    """One kernel forward, one backward."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor, loss: FocalLoss) -> Tensor:
        from lineage.ops.layers import focal_cuda  # Triton loads only where there is a GPU

        ctx.save_for_backward(logits, labels)
        ctx.loss = loss
        return focal_cuda.focal(logits, labels, loss.alpha, loss.gamma)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        from lineage.ops.layers import focal_cuda

        logits, labels = ctx.saved_tensors
        return focal_cuda.focal_backward(logits, labels, grad, ctx.loss.alpha, ctx.loss.gamma), None, None
