"""Losses for long tails: classes of which there are few examples, as in LVIS.

Class-balanced loss (arXiv:1901.05555), Equalization Loss (arXiv:2003.05176), Seesaw Loss (arXiv:2008.10032). Each
reads how often the classes occur; `count` tells them, once, from the training set, and checkpoints keep it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lineage.models.losses.class_losses import one_hot, start, with_background


def asking(model: nn.Module) -> list[ClassBalancedLoss | EqualizationLoss | SeesawLoss]:
    """The losses of the model that must be told how frequent classes are."""
    return [
        module for module in model.modules() if isinstance(module, ClassBalancedLoss | EqualizationLoss | SeesawLoss)
    ]


def count_classes(model: nn.Module, images_of_class: Sequence[int], images: int) -> None:
    """Tell every loss that asks for it in how many of the training images each class is."""
    for module in asking(model):
        module.counts.copy_(torch.tensor(images_of_class, dtype=torch.float32))
        module.images.fill_(images)


class ClassBalancedLoss(nn.Module):
    """Sigmoid cross entropy, weighted by the inverse effective number of a region's class (equation 12).

    Weights of the classes average 1, as does background's.
    """

    counts: Tensor  # [C] float32
    images: Tensor  # [] float32

    def __init__(self, classes: int, *, beta: float, prior_prob: float):
        super().__init__()
        self.outputs, self.beta, self.bias = classes, beta, start(prior_prob)
        self.register_buffer("counts", torch.ones(classes))
        self.register_buffer("images", torch.ones(()))

    def weights(self) -> Tensor:
        """[C + 1], background last"""
        # deviates: counts images where the paper counts samples; an LVIS image repeats a class by chance
        each = (1 - self.beta) / (1 - self.beta ** self.counts.clamp(min=1).double())
        each = (each / each.mean()).float()
        return torch.cat((each, each.new_ones(1)))

    def forward(self, logits: Tensor, labels: Tensor, valid: Tensor) -> Tensor:
        """logits [B, N, C], labels and valid [B, N] -> [B, N]"""
        cost = F.binary_cross_entropy_with_logits(logits, one_hot(labels, self.outputs), reduction="none").sum(-1)
        return cost * self.weights()[labels] * valid

    def probabilities(self, logits: Tensor) -> Tensor:
        return with_background(logits.sigmoid())


class EqualizationLoss(nn.Module):
    """Objects of other classes do not push a rare class down (equations 2 to 4); background still does.

    Rare is a class that less than `rare_thresh` of all training images show (lambda of equation 4).
    """

    counts: Tensor  # [C] float32
    images: Tensor  # [] float32

    def __init__(self, classes: int, *, rare_thresh: float, prior_prob: float):
        super().__init__()
        self.outputs, self.rare_thresh, self.bias = classes, rare_thresh, start(prior_prob)
        self.register_buffer("counts", torch.ones(classes))
        self.register_buffer("images", torch.ones(()))

    def forward(self, logits: Tensor, labels: Tensor, valid: Tensor) -> Tensor:
        """logits [B, N, C], labels and valid [B, N] -> [B, N]"""
        goal = one_hot(labels, self.outputs)
        rare = self.counts < self.rare_thresh * self.images
        foreground = labels < self.outputs
        spared = foreground[..., None] & rare & (goal == 0)
        cost = F.binary_cross_entropy_with_logits(logits, goal, reduction="none")
        return torch.where(spared, 0.0, cost).sum(-1) * valid

    def probabilities(self, logits: Tensor) -> Tensor:
        return with_background(logits.sigmoid())


class SeesawLoss(nn.Module):
    """Softmax over classes in which frequent classes push rare ones down less (equations 4 to 6), times objectness.

    The last two logits say object or background (section 3.3); the classes are learnt from foreground regions alone.
    """

    counts: Tensor  # [C] float32
    images: Tensor  # [] float32

    def __init__(self, classes: int, *, mitigation: float, compensation: float, eps: float):
        super().__init__()
        self.classes, self.outputs, self.bias = classes, classes + 2, 0.0
        self.mitigation, self.compensation, self.eps = mitigation, compensation, eps
        # deviates: the paper counts the samples seen so far while it trains; the data set's counts are known before,
        # equal on every process, and what those of a long training approach
        self.register_buffer("counts", torch.ones(classes))
        self.register_buffer("images", torch.ones(()))

    def forward(self, logits: Tensor, labels: Tensor, valid: Tensor) -> Tensor:
        """logits [B, N, C + 2], labels and valid [B, N] -> [B, N]"""
        foreground = labels < self.classes
        object_ = F.cross_entropy(logits[..., -2:].transpose(1, 2), (~foreground).long(), reduction="none")
        classes, own = logits[..., :-2], labels.clamp(max=self.classes - 1)[..., None]
        pressed = classes + torch.where(one_hot(own[..., 0], self.classes) > 0, 0.0, self._pressure(classes, own))
        cost = -pressed.log_softmax(-1).gather(-1, own)[..., 0]
        return (object_ + cost * foreground) * valid

    @torch.no_grad()
    def _pressure(self, classes: Tensor, own: Tensor) -> Tensor:
        """log S_ij of each region's class i over all j: [B, N, C]"""
        counts = self.counts.clamp(min=1)
        mitigation = self.mitigation * (counts / counts[own]).log().clamp(max=0)
        score = classes.softmax(-1)
        ratio = score / score.gather(-1, own).clamp(min=self.eps)
        return mitigation + self.compensation * ratio.clamp(min=1).log()

    def probabilities(self, logits: Tensor) -> Tensor:
        classes, object_ = logits[..., :-2].softmax(-1), logits[..., -2:].softmax(-1)
        return torch.cat((classes * object_[..., :1], object_[..., 1:]), -1)
