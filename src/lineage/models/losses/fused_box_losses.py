"""Losses of box_losses.py on CUDA: one kernel forward, one backward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lineage.structures import SampledProposals


def cross_entropy(logits: Tensor, labels: Tensor, valid: Tensor) -> Tensor:
    """Return the loss [B, N], 0 where not valid: logits [B, N, C + 1] float32, labels [B, N] in 0..C."""
    losses: Tensor = _CrossEntropy.apply(logits.flatten(0, 1).contiguous(), labels.flatten(), valid.flatten())
    return losses.view(labels.shape)


class _CrossEntropy(torch.autograd.Function):
    """One kernel forward, one backward; logits are [R, C + 1]."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor, valid: Tensor) -> Tensor:
        from lineage.ops.cuda import softmax_loss  # Triton loads only where there is a GPU

        ctx.save_for_backward(logits, labels, valid)
        return softmax_loss.cross_entropy(logits, labels, valid)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        from lineage.ops.cuda import softmax_loss

        logits, labels, valid = ctx.saved_tensors
        return softmax_loss.cross_entropy_backward(logits, labels, valid, grad), None, None


def smooth_l1(
    deltas: Tensor,
    sampled: SampledProposals,
    gt_boxes: Tensor,
    background: int,
    weights: Sequence[float],
    beta: float,
) -> Tensor:
    """Return the loss of each region's deltas of its class: deltas [B, N, K, 4], gt_boxes [B, G, 4] -> [B, N]"""
    losses: Tensor = _SmoothL1.apply(deltas, sampled, gt_boxes, background, weights, float(beta))
    return losses.view(sampled.labels.shape)


class _SmoothL1(torch.autograd.Function):
    """One kernel forward, which keeps the slopes, and one backward."""

    @staticmethod
    def forward(ctx: Any, deltas: Tensor, sampled: SampledProposals, *goal: Any) -> Tensor:
        from lineage.ops.cuda import box_loss

        losses, slopes = box_loss.smooth_l1(deltas, sampled, *goal)
        ctx.save_for_backward(slopes, sampled.labels)
        ctx.classes = deltas.shape[2]
        return losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        from lineage.ops.cuda import box_loss

        slopes, labels = ctx.saved_tensors
        return box_loss.smooth_l1_backward(slopes, labels, grad, ctx.classes), *[None] * 5
