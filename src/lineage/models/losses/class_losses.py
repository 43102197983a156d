"""Classification by independent sigmoids, and softmax with soft labels, beside box_losses.SoftmaxCrossEntropy.

Sigmoid heads have no background class: the target of a background region is 0 for all classes. `loss_fn` is the loss of
each logit: cross entropy, or the focal loss of losses.focal.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lineage.models.losses.focal import FocalLoss, sum_focal
from lineage.ops.layers.kernels import runs_kernels

LossFn = Callable[[Tensor, Tensor], Tensor]  # logits and targets of one shape -> unreduced losses


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """Return labels [B, N] in 0..C as [B, N, C] float32; background is a row of zeros."""
    return (labels[..., None] == torch.arange(classes, device=labels.device)).float()


def sum_over_classes(loss_fn: LossFn, logits: Tensor, labels: Tensor) -> Tensor:
    """Return the loss of each region over its classes: logits [B, N, C], labels [B, N] in 0..C -> [B, N] float32"""
    if isinstance(loss_fn, FocalLoss) and runs_kernels(logits) and logits.numel():
        return sum_focal(logits, labels, loss_fn)
    return loss_fn(logits.float(), one_hot(labels, logits.shape[-1])).sum(-1)


def append_background(scores: Tensor) -> Tensor:
    """Append the background probability, 1 - the largest score: [..., C] -> [..., C + 1]"""
    return torch.cat((scores, 1 - scores.amax(-1, keepdim=True)), -1)


def prior_bias(prior_prob: float) -> float:
    """Return the bias that gives every class this initial probability (RetinaNet, arXiv:1708.02002, section 4.1)."""
    return -math.log((1 - prior_prob) / prior_prob)


class SigmoidLoss(nn.Module):
    """C independent sigmoids per region; `prior_prob` is their initial probability."""

    def __init__(self, classes: int, *, loss_fn: LossFn, prior_prob: float):
        super().__init__()
        self.outputs, self.loss_fn, self.bias = classes, loss_fn, prior_bias(prior_prob)

    def forward(self, logits: Tensor, labels: Tensor, valid: Tensor) -> Tensor:
        """logits [B, N, C], labels and valid [B, N] -> [B, N]"""
        return sum_over_classes(self.loss_fn, logits, labels) * valid

    def probabilities(self, logits: Tensor) -> Tensor:
        return append_background(logits.sigmoid())


class SmoothedSigmoid(nn.Module):
    """Label smoothing of independent sigmoids: a target of 1 becomes 1 - s, a target of 0 becomes s.

    Bag of Freebies (arXiv:1902.04103), for YOLOv3: s = min(1 / C, 1 / 40). With cross entropy as `loss_fn` this is the
    cross entropy with soft targets; of another loss it is the mean over a label that is wrong with probability s.
    """

    def __init__(self, *, loss_fn: LossFn, label_smoothing: float):
        super().__init__()
        self.loss_fn, self.label_smoothing = loss_fn, label_smoothing

    def forward(self, logits: Tensor, gt: Tensor) -> Tensor:
        """logits and gt (0 or 1) of one shape -> unreduced loss of that shape"""
        smoothing = self.label_smoothing
        return (1 - smoothing) * self.loss_fn(logits, gt) + smoothing * self.loss_fn(logits, 1 - gt)


class SmoothedSoftmax(nn.Module):
    """Label smoothing (arXiv:1512.00567, section 7): the true class gets 1 - label_smoothing, all share the rest."""

    def __init__(self, classes: int, *, label_smoothing: float):
        super().__init__()
        self.outputs, self.label_smoothing, self.bias = classes + 1, label_smoothing, 0.0

    def forward(self, logits: Tensor, labels: Tensor, valid: Tensor) -> Tensor:
        flat_logits, smoothing = logits.flatten(0, 1), self.label_smoothing
        losses = F.cross_entropy(flat_logits, labels.flatten(), reduction="none", label_smoothing=smoothing)
        return losses.view(labels.shape) * valid

    def probabilities(self, logits: Tensor) -> Tensor:
        return logits.softmax(-1)
