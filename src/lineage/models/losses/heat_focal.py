"""Focal loss of heat maps: CornerNet (arXiv:1808.01244, equation 1), CenterNet (arXiv:1904.07850, equation 1)."""

from __future__ import annotations

from torch import Tensor, nn

EPS = 1e-4  # probabilities are clamped to [EPS, 1 - EPS], as in both codes: beyond there is no gradient


class HeatFocalLoss(nn.Module):
    """Cells of 1 are positive; others are negative, with a weight that falls as (1 - target)^beta towards a point."""

    def __init__(self, *, alpha: float, beta: float):
        super().__init__()
        self.alpha, self.beta = alpha, beta

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """logits and target in 0..1 of one shape -> unreduced loss of that shape"""
        p = logits.float().sigmoid().clamp(EPS, 1 - EPS)
        positive = -((1 - p) ** self.alpha) * p.log()
        negative = -((1 - target) ** self.beta) * p**self.alpha * (1 - p).log()
        return positive.where(target == 1, negative)
