"""Per-class linear SVMs on deep features: R-CNN (arXiv:1311.2524), section 2.3 and appendix B.

Positives are the objects themselves, negatives are regions whose IoU with all objects of the class is below 0.3; other
regions are ignored. Negatives are too many to store, so hard ones are mined: those that the current SVM misclassifies
are kept, and the SVM is refitted whenever enough are new.
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


class RegionFeatures(NamedTuple):
    """Features and labels of the regions of some images."""

    features: Tensor  # [R, D]
    overlaps: Tensor  # [R, C] largest IoU with an object of each class
    objects: Tensor  # [R] int64: the class if the region is an object itself, else C


Pass = Callable[[], Iterator[RegionFeatures]]  # one pass over the training images


@dataclass(frozen=True, kw_only=True)
class SVMMining:
    """The numbers of R-CNN's released training code (github.com/rbgirshick/rcnn, rcnn_train.m)."""

    cost: float  # C of the SVM
    pos_loss_weight: float  # loss weight of a positive
    bias_mult: float  # value of the constant feature; large, so that the bias is hardly regularised
    target_norm: float  # features are scaled to this mean length
    neg_iou_thresh: float  # regions of smaller IoU are negatives
    hard_thresh: float  # negatives of larger score are hard
    evict_thresh: float  # negatives of smaller score are dropped again
    retrain_limit: int  # new negatives after which a class is refitted


class SVMs(nn.Module):
    """One linear classifier per class; stored with the weights, but fitted, not trained by gradient descent."""

    def __init__(self, features: int, classes: int):
        super().__init__()
        self.register_buffer("weight", torch.zeros(classes, features))
        self.register_buffer("bias", torch.full((classes,), -1.0))  # before a fit: all regions are background
        self.register_buffer("scale", torch.ones(()))

    def forward(self, features: Tensor) -> Tensor:
        """[..., D] -> scores [..., C]; 0 is the decision boundary, 1 and -1 are the margins"""
        return (features * self.scale) @ self.weight.T + self.bias

    @torch.no_grad()
    def fit(self, passes: Pass, mining: SVMMining) -> None:
        """Fit all classes in two passes over the images: one for the objects, one for the negatives."""
        classes = len(self.weight)
        positives, self.scale = _positives(passes, classes, mining.target_norm)
        trainers = [ClassTrainer(self, label, rows, mining) for label, rows in enumerate(positives) if len(rows)]
        for regions in passes():
            scores = self(regions.features)
            for trainer in trainers:
                trainer.add_negatives(regions, scores[:, trainer.label])
        for trainer in trainers:
            trainer.refit()


class ClassTrainer:
    """The training set of one class, to which hard negatives are added."""

    def __init__(self, svms: SVMs, label: int, positives: Array, mining: SVMMining):
        self.svms, self.label, self.mining = svms, label, mining
        self.positives, self.negatives = positives, positives[:0]
        self.num_new = 0
        self.fitted = False

    def add_negatives(self, regions: RegionFeatures, scores: Tensor) -> None:
        """Add the hard negatives among these regions; before the first fit all negatives are hard."""
        hard = regions.overlaps[:, self.label] < self.mining.neg_iou_thresh
        hard &= regions.objects != self.label
        if self.fitted:
            hard &= scores > self.mining.hard_thresh
        added = (regions.features[hard] * self.svms.scale).cpu().numpy()
        self.negatives = np.concatenate((self.negatives, added))
        self.num_new += len(added)
        if self.num_new >= self.mining.retrain_limit:
            self.refit()

    def refit(self) -> None:
        """Fit the SVM to the current training set and drop negatives that have become easy."""
        if not len(self.negatives) or (self.fitted and not self.num_new):
            return
        weight, bias = _solve(self.positives, self.negatives, self.mining)
        self.svms.weight[self.label] = torch.as_tensor(weight).to(self.svms.weight)
        self.svms.bias[self.label] = bias
        self.negatives = self.negatives[self.negatives @ weight + bias >= self.mining.evict_thresh]
        self.fitted, self.num_new = True, 0


def _positives(passes: Pass, classes: int, norm: float) -> tuple[list[Array], Tensor]:
    """Return the scaled features of each class's objects, and the scale that gives features the mean length `norm`."""
    rows: list[list[Tensor]] = [[] for _ in range(classes)]
    length = torch.zeros((), dtype=torch.float64)
    count = 0
    for regions in passes():
        length += regions.features.norm(dim=1).sum(dtype=torch.float64).cpu()
        count += len(regions.features)
        for label in regions.objects[regions.objects < classes].unique().tolist():
            rows[label].append(regions.features[regions.objects == label].cpu())
    scale = torch.tensor(norm * count / max(float(length), 1e-12), dtype=torch.float32)
    empty = np.zeros((0, 0), dtype=np.float32)
    return [(torch.cat(features) * scale).numpy() if features else empty for features in rows], scale


def _solve(positives: Array, negatives: Array, mining: SVMMining) -> tuple[Array, float]:
    """Solve an SVM with hinge loss and L2 penalty: liblinear's dual, as in R-CNN."""
    svm = LinearSVC(
        loss="hinge",
        C=mining.cost,
        class_weight={1: mining.pos_loss_weight, 0: 1.0},
        intercept_scaling=mining.bias_mult,
        max_iter=20_000,
        random_state=3,
    )
    rows = np.concatenate((positives, negatives))
    svm.fit(rows, np.repeat([1, 0], [len(positives), len(negatives)]))
    return svm.coef_[0].astype(np.float32), float(svm.intercept_[0])
