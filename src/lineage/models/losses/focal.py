"""Focal loss: RetinaNet (arXiv:1708.02002), section 3. With gamma = 0 it is the alpha-balanced cross entropy.

Sigmoid per class, so background is a row of zeros and needs no class of its own.
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

    def forward(self, logits: Tensor, goal: Tensor) -> Tensor:
        """logits and goal (0 or 1) of one shape -> the cost of each"""
        right = torch.where(goal > 0, logits, -logits)  # the logit of the right answer
        cost = F.softplus(-right)
        if self.gamma:  # (1 - p_t)^gamma through its logarithm: no infinite slope where p_t is 1 and gamma < 1
            cost = cost * torch.exp(-self.gamma * F.softplus(right))
        return cost if self.alpha is None else cost * torch.where(goal > 0, self.alpha, 1 - self.alpha)
