"""Losses of the box head as Fast R-CNN (arXiv:1504.08083), section 2.3, defined them, and their interfaces.

A classification loss states its number of logits, returns the loss of each region and converts logits to probabilities.
A box regression loss returns the loss of each foreground region. Neither normalizes: the head divides the sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lineage.models.losses import fused_box_losses
from lineage.ops import boxes as box_ops
from lineage.ops.layers.kernels import needs_gradient, runs_kernels
from lineage.structures import SampledProposals, Targets


class Classification(Protocol):
    """A classification loss, built with the number of classes C."""

    outputs: int  # logits per region
    bias: float  # initial value of all logits

    def __call__(self, logits: Tensor, labels: Tensor, valid: Tensor) -> Tensor:
        """logits [B, N, outputs], labels [B, N] in 0..C (C is background), valid [B, N] -> loss [B, N]"""
        ...

    def probabilities(self, logits: Tensor) -> Tensor:
        """[B, N, outputs] -> [B, N, C + 1], background last"""
        ...


class Regression(Protocol):
    """A box regression loss."""

    def __call__(
        self, deltas: Tensor, regions: Tensor, gt_boxes: Tensor, foreground: Tensor, weights: Sequence[float]
    ) -> Tensor:
        """deltas, regions and gt_boxes [B, N, 4], foreground [B, N] bool -> loss [B, N], 0 where not foreground.

        `weights` scale the deltas (see ops.boxes.encode). Slots that are not foreground may hold any box, also one
        without area; they must add nothing to the loss and must not make a gradient infinite.
        """
        ...


class SoftmaxCrossEntropy(nn.Module):
    """Softmax over C classes and background: equation 1, first term."""

    def __init__(self, classes: int):
        super().__init__()
        self.outputs, self.bias = classes + 1, 0.0

    def forward(self, logits: Tensor, labels: Tensor, valid: Tensor) -> Tensor:
        if runs_kernels(logits) and logits.dtype == torch.float32:
            return fused_box_losses.cross_entropy(logits, labels, valid)
        losses = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
        return losses.view(labels.shape) * valid

    def probabilities(self, logits: Tensor) -> Tensor:
        return logits.softmax(-1)


class SmoothL1(nn.Module):
    """Smooth L1 on the deltas, equations 2 and 3: quadratic up to `beta`, then linear."""

    def __init__(self, *, beta: float):
        super().__init__()
        self.beta = beta

    def forward(
        self, deltas: Tensor, regions: Tensor, gt_boxes: Tensor, foreground: Tensor, weights: Sequence[float]
    ) -> Tensor:
        gt_deltas = torch.where(foreground[..., None], box_ops.encode(gt_boxes, regions, weights), 0.0)
        return F.smooth_l1_loss(deltas, gt_deltas, beta=self.beta, reduction="none").sum(-1) * foreground


def regress_classes(
    regression: Regression,
    deltas: Tensor,
    sampled: SampledProposals,
    targets: Targets,
    num_classes: int,
    weights: Sequence[float],
) -> Tensor:
    """Return the loss of each region's deltas of its class: [B, N, K, 4], K = 1 for all classes -> [B, N]"""
    if isinstance(regression, SmoothL1) and _runs_kernel(deltas, sampled.boxes, targets.boxes):
        return fused_box_losses.smooth_l1(deltas, sampled, targets.boxes, num_classes, weights, regression.beta)
    foreground = sampled.valid & (sampled.labels < num_classes)
    gt_boxes = box_ops.take(targets.boxes, sampled.matched_idx)
    return regression(select_class(deltas, sampled.labels), sampled.boxes, gt_boxes, foreground, weights)


def select_class(deltas: Tensor, labels: Tensor) -> Tensor:
    """Return the deltas of each region's class: [B, N, K, 4], K = 1 for all classes, labels [B, N] -> [B, N, 4]"""
    index = labels.clamp(max=deltas.shape[2] - 1)
    return deltas.gather(2, index[..., None, None].expand(-1, -1, 1, 4))[:, :, 0]


def _runs_kernel(deltas: Tensor, *boxes: Tensor) -> bool:
    floats = all(x.dtype == torch.float32 for x in (deltas, *boxes))
    return floats and runs_kernels(deltas) and not needs_gradient(*boxes)
