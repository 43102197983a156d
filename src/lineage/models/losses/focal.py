"""Focal loss: RetinaNet (arXiv:1708.02002), section 3. With gamma = 0 it is the alpha-balanced cross entropy.

Classes are independent sigmoids, so background is a row of zeros and has no class of its own.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


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
