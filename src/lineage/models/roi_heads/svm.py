"""Per-class linear SVMs on deep features: R-CNN (arXiv:1311.2524), section 2.3 and appendix B.

Positives are the objects themselves, negatives are regions that overlap no object of the class by 0.3; what lies
between is ignored. Negatives are far too many to hold, so they are mined: only those that the SVM of the moment gets
wrong are kept, and the SVM is fitted anew when enough have come together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from sklearn.svm import LinearSVC
from torch import Tensor, nn

Array = np.ndarray


class Observed(NamedTuple):
    """The regions of some images as an SVM sees them."""

    features: Tensor  # [R, D]
    overlaps: Tensor  # [R, C] largest IoU with an object of each class
    objects: Tensor  # [R] int64: the class, where the region is an object itself; C elsewhere


Pass = Callable[[], Iterator[Observed]]  # one round over the training images


@dataclass(frozen=True, kw_only=True)
class SVMMining:
    """The numbers of R-CNN's released training code (github.com/rbgirshick/rcnn, rcnn_train.m)."""

    cost: float  # C of the SVM
    pos_loss_weight: float  # a positive counts as this many
    bias_mult: float  # the constant feature; large, so that the bias is hardly regularised
    target_norm: float  # features are scaled to this mean length
    neg_iou_thresh: float  # regions below it are negatives
    hard_thresh: float  # a negative with a score above this is hard
    evict_thresh: float  # one below this is dropped again
    retrain_limit: int  # new negatives after which a class is fitted anew


class SVMs(nn.Module):
    """One linear classifier per class, part of the weights like any other layer but fitted, not descended."""

    def __init__(self, features: int, classes: int):
        super().__init__()
        self.register_buffer("weight", torch.zeros(classes, features))
        self.register_buffer("bias", torch.full((classes,), -1.0))  # before a fit: nothing is an object
        self.register_buffer("scale", torch.ones(()))

    def forward(self, features: Tensor) -> Tensor:
        """[..., D] -> scores [..., C]; 0 is the border, 1 and -1 are the margins"""
        return (features * self.scale) @ self.weight.T + self.bias

    @torch.no_grad()
    def fit(self, passes: Pass, mining: SVMMining) -> None:
        """Two rounds over the images: one for the objects, one for the negatives."""
        classes = len(self.weight)
        positives, self.scale = _positives(passes, classes, mining.target_norm)
        machines = [Machine(self, label, rows, mining) for label, rows in enumerate(positives) if len(rows)]
        for seen in passes():
            scores = self(seen.features)
            for machine in machines:
                machine.see(seen, scores[:, machine.label])
        for machine in machines:
            machine.refit()


class Machine:
    """The training set of one class while it grows."""

    def __init__(self, svms: SVMs, label: int, positives: Array, mining: SVMMining):
        self.svms, self.label, self.mining = svms, label, mining
        self.positives, self.negatives = positives, positives[:0]
        self.fresh = 0
        self.fitted = False

    def see(self, seen: Observed, scores: Tensor) -> None:
        """Keep the hard negatives among these regions; before the first fit all of them are."""
        hard = seen.overlaps[:, self.label] < self.mining.neg_iou_thresh
        hard &= seen.objects != self.label
        if self.fitted:
            hard &= scores > self.mining.hard_thresh
        added = (seen.features[hard] * self.svms.scale).cpu().numpy()
        self.negatives = np.concatenate((self.negatives, added))
        self.fresh += len(added)
        if self.fresh >= self.mining.retrain_limit:
            self.refit()

    def refit(self) -> None:
        if not len(self.negatives) or (self.fitted and not self.fresh):
            return
        weight, bias = _solve(self.positives, self.negatives, self.mining)
        self.svms.weight[self.label] = torch.as_tensor(weight).to(self.svms.weight)
        self.svms.bias[self.label] = bias
        self.negatives = self.negatives[self.negatives @ weight + bias >= self.mining.evict_thresh]
        self.fitted, self.fresh = True, 0


def _positives(passes: Pass, classes: int, norm: float) -> tuple[list[Array], Tensor]:
    """The objects of each class, scaled, and the scale: features get the same mean length whatever the network."""
    rows: list[list[Tensor]] = [[] for _ in range(classes)]
    length, count = torch.zeros((), dtype=torch.float64), 0
    for seen in passes():
        length += seen.features.norm(dim=1).sum(dtype=torch.float64).cpu()
        count += len(seen.features)
        for label in seen.objects[seen.objects < classes].unique().tolist():
            rows[label].append(seen.features[seen.objects == label].cpu())
    scale = torch.tensor(norm * count / max(float(length), 1e-12), dtype=torch.float32)
    empty = np.zeros((0, 0), dtype=np.float32)
    return [(torch.cat(parts) * scale).numpy() if parts else empty for parts in rows], scale


def _solve(positives: Array, negatives: Array, mining: SVMMining) -> tuple[Array, float]:
    """Hinge loss, L2: liblinear's dual, as R-CNN used it."""
    machine = LinearSVC(
        loss="hinge",
        C=mining.cost,
        class_weight={1: mining.pos_loss_weight, 0: 1.0},
        intercept_scaling=mining.bias_mult,
        max_iter=20_000,
        random_state=3,
    )
    rows = np.concatenate((positives, negatives))
    machine.fit(rows, np.repeat([1, 0], [len(positives), len(negatives)]))
    return machine.coef_[0].astype(np.float32), float(machine.intercept_[0])
