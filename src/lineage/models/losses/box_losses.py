"""What the box head minimises, as Fast R-CNN (arXiv:1504.08083), section 2.3, defined it; other losses stand beside.

A classification loss knows how many logits it wants, what each region costs, and what the logits mean as probabilities.
A regression loss says what each foreground region's code costs. Neither divides: the head counts the terms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lineage.ops import boxes as box_ops


class Classification(Protocol):
    """Built with the number of classes C."""

    outputs: int  # logits per region
    bias: float  # what all logits start from

    def __call__(self, logits: Tensor, labels: Tensor, valid: Tensor) -> Tensor:
        """logits [B, N, outputs], labels [B, N] in 0..C (C is background), valid [B, N] -> cost [B, N]"""
        ...

    def probabilities(self, logits: Tensor) -> Tensor:
        """[B, N, outputs] -> [B, N, C + 1], background last"""
        ...


class Regression(Protocol):
    def __call__(
        self, deltas: Tensor, regions: Tensor, truth: Tensor, foreground: Tensor, weights: Sequence[float]
    ) -> Tensor:
        """Codes, regions and objects [B, N, 4], foreground [B, N] bool -> cost [B, N], 0 where not foreground.

        `weights` scale the code (see ops.boxes.encode). Other slots may hold anything, also boxes without a size, and
        must neither add to the cost nor make a gradient infinite.
        """
        ...


class SoftmaxCrossEntropy(nn.Module):
    """Equation 1, first term: one of C classes or background."""

    def __init__(self, classes: int):
        super().__init__()
        self.outputs, self.bias = classes + 1, 0.0

    def forward(self, logits: Tensor, labels: Tensor, valid: Tensor) -> Tensor:
        cost = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
        return cost.view(labels.shape) * valid

    def probabilities(self, logits: Tensor) -> Tensor:
        return logits.softmax(-1)


class SmoothL1(nn.Module):
    """Equations 2 and 3: squared up to `beta`, then linear, on the box code."""

    def __init__(self, *, beta: float):
        super().__init__()
        self.beta = beta

    def forward(
        self, deltas: Tensor, regions: Tensor, truth: Tensor, foreground: Tensor, weights: Sequence[float]
    ) -> Tensor:
        wanted = torch.where(foreground[..., None], box_ops.encode(truth, regions, weights), 0.0)
        return F.smooth_l1_loss(deltas, wanted, beta=self.beta, reduction="none").sum(-1) * foreground
