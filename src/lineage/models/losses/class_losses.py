"""Classification by independent sigmoids, and softmax with soft labels, beside box_losses.SoftmaxCrossEntropy.

Sigmoid heads have no background class: a background region should answer no to all. What each answer costs is given as
`cost`: cross entropy, or the focal loss of models.focal.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """labels [B, N] in 0..C -> [B, N, C] float32; background is a row of zeros"""
    return (labels[..., None] == torch.arange(classes, device=labels.device)).float()


def with_background(scores: Tensor) -> Tensor:
    """[..., C] -> [..., C + 1]: what is left of 1 by the likeliest class"""
    return torch.cat((scores, 1 - scores.amax(-1, keepdim=True)), -1)


def start(prior: float) -> float:
    """The bias from which every class starts at this probability (RetinaNet, arXiv:1708.02002, section 4.1)."""
    return -math.log((1 - prior) / prior)


class SigmoidLoss(nn.Module):
    """C independent answers per region; `prior_prob` is the initial probability of all."""

    def __init__(self, classes: int, *, loss_fn: Callable[[Tensor, Tensor], Tensor], prior_prob: float):
        super().__init__()
        self.outputs, self.loss_fn, self.bias = classes, loss_fn, start(prior_prob)

    def forward(self, logits: Tensor, labels: Tensor, valid: Tensor) -> Tensor:
        """logits [B, N, C], labels and valid [B, N] -> [B, N]"""
        return self.loss_fn(logits, one_hot(labels, self.outputs)).sum(-1) * valid

    def probabilities(self, logits: Tensor) -> Tensor:
        return with_background(logits.sigmoid())


class SmoothedSoftmax(nn.Module):
    """Label smoothing (arXiv:1512.00567, section 7): the right class gets 1 - smoothing, all share the rest."""

    def __init__(self, classes: int, *, label_smoothing: float):
        super().__init__()
        self.outputs, self.label_smoothing, self.bias = classes + 1, label_smoothing, 0.0

    def forward(self, logits: Tensor, labels: Tensor, valid: Tensor) -> Tensor:
        cost = F.cross_entropy(
            logits.flatten(0, 1), labels.flatten(), reduction="none", label_smoothing=self.label_smoothing
        )
        return cost.view(labels.shape) * valid

    def probabilities(self, logits: Tensor) -> Tensor:
        return logits.softmax(-1)
