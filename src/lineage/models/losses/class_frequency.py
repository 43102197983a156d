"""Losses that depend on class frequencies, for long-tailed datasets such as LVIS.

Class-balanced loss (arXiv:1901.05555), Equalization Loss (arXiv:2003.05176), Seesaw Loss (arXiv:2008.10032). Each
holds the class counts of the training set in buffers: `set_class_counts` fills them once, checkpoints store them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lineage.models.losses.class_losses import append_background, one_hot, prior_bias


def losses_with_class_counts(model: nn.Module) -> list[ClassBalancedLoss | EqualizationLoss | SeesawLoss]:
    """Return the losses of the model that depend on class frequencies."""
    kinds = (ClassBalancedLoss, EqualizationLoss, SeesawLoss)
    return [module for module in model.modules() if isinstance(module, kinds)]


def set_class_counts(model: nn.Module, images_of_class: Sequence[int], images: int) -> None:
    """Set the number of training images of each class, and of all, in every loss that depends on them."""
    for module in losses_with_class_counts(model):
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
        self.outputs, self.beta, self.bias = classes, beta, prior_bias(prior_prob)
        self.register_buffer("counts", torch.ones(classes))
        self.register_buffer("images", torch.ones(()))

    def weights(self) -> Tensor:
        """Return the weight of each class, [C + 1], background last."""
        # deviates: counts images where the paper counts samples; an LVIS image repeats a class by chance
        weights = (1 - self.beta) / (1 - self.beta ** self.counts.clamp(min=1).double())
        weights = (weights / weights.mean()).float()
        return torch.cat((weights, weights.new_ones(1)))

    def forward(self, logits: Tensor, labels: Tensor, valid: Tensor) -> Tensor:
        """logits [B, N, C], labels and valid [B, N] -> [B, N]"""
        gt = one_hot(labels, self.outputs)
        losses = F.binary_cross_entropy_with_logits(logits, gt, reduction="none").sum(-1)
        return losses * self.weights()[labels] * valid

    def probabilities(self, logits: Tensor) -> Tensor:
        return append_background(logits.sigmoid())


class EqualizationLoss(nn.Module):
    """Objects are no negatives for rare classes (equations 2 to 4); background still is.

    A class is rare if less than the fraction `rare_thresh` of the training images shows it (lambda of equation 4).
    """

    counts: Tensor  # [C] float32
    images: Tensor  # [] float32

    def __init__(self, classes: int, *, rare_thresh: float, prior_prob: float):
        super().__init__()
        self.outputs, self.rare_thresh, self.bias = classes, rare_thresh, prior_bias(prior_prob)
        self.register_buffer("counts", torch.ones(classes))
        self.register_buffer("images", torch.ones(()))

    def forward(self, logits: Tensor, labels: Tensor, valid: Tensor) -> Tensor:
        """logits [B, N, C], labels and valid [B, N] -> [B, N]"""
        gt = one_hot(labels, self.outputs)
        rare = self.counts < self.rare_thresh * self.images
        foreground = labels < self.outputs
        ignored = foreground[..., None] & rare & (gt == 0)
        losses = F.binary_cross_entropy_with_logits(logits, gt, reduction="none")
        return torch.where(ignored, 0.0, losses).sum(-1) * valid

    def probabilities(self, logits: Tensor) -> Tensor:
        return append_background(logits.sigmoid())


class SeesawLoss(nn.Module):
    """Softmax in which frequent classes suppress rare ones less (equations 4 to 6), times objectness.

    The last two logits are object and background (section 3.3); the classes are learned from foreground regions alone.
    mitigation, compensation: the exponents p and q; eps: lower limit of the compensation's denominator.
    """

    counts: Tensor  # [C] float32
    images: Tensor  # [] float32

    def __init__(self, classes: int, *, mitigation: float, compensation: float, eps: float):
        super().__init__()
        self.classes, self.outputs, self.bias = classes, classes + 2, 0.0
        self.mitigation, self.compensation, self.eps = mitigation, compensation, eps
        # deviates: the paper counts samples during training; the counts of the dataset are known before, equal on every
        # process, and the limit of those of a long training
        self.register_buffer("counts", torch.ones(classes))
        self.register_buffer("images", torch.ones(()))

    def forward(self, logits: Tensor, labels: Tensor, valid: Tensor) -> Tensor:
        """logits [B, N, C + 2], labels and valid [B, N] -> [B, N]"""
        foreground = labels < self.classes
        objectness = F.cross_entropy(logits[..., -2:].transpose(1, 2), (~foreground).long(), reduction="none")
        class_logits = logits[..., :-2]
        gt = labels.clamp(max=self.classes - 1)[..., None]
        factors = torch.where(one_hot(gt[..., 0], self.classes) > 0, 0.0, self._log_factors(class_logits, gt))
        losses = -(class_logits + factors).log_softmax(-1).gather(-1, gt)[..., 0]
        return (objectness + losses * foreground) * valid

    @torch.no_grad()
    def _log_factors(self, class_logits: Tensor, gt: Tensor) -> Tensor:
        """Return log S_ij of each region's class i = gt [B, N, 1] for all classes j: [B, N, C]."""
        counts = self.counts.clamp(min=1)
        mitigation = self.mitigation * (counts / counts[gt]).log().clamp(max=0)
        scores = class_logits.softmax(-1)
        ratio = scores / scores.gather(-1, gt).clamp(min=self.eps)
        return mitigation + self.compensation * ratio.clamp(min=1).log()

    def probabilities(self, logits: Tensor) -> Tensor:
        classes = logits[..., :-2].softmax(-1)
        objectness = logits[..., -2:].softmax(-1)
        return torch.cat((classes * objectness[..., :1], objectness[..., 1:]), -1)
