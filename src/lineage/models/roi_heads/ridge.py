"""Bounding-box regression in closed form: R-CNN (arXiv:1311.2524), appendix C: ridge from features to deltas."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Ridge(nn.Module):
    """One linear map per class from features to the four deltas; stored with the weights, but solved, not trained."""

    def __init__(self, features: int, classes: int, *, penalty: float):
        super().__init__()
        self.penalty = penalty
        self.register_buffer("weight", torch.zeros(classes, 4, features))
        self.register_buffer("bias", torch.zeros(classes, 4))  # before a fit: boxes are unchanged

    def forward(self, features: Tensor) -> Tensor:
        """[R, D] -> deltas [R, C, 4]"""
        return torch.einsum("rd,ckd->rck", features, self.weight) + self.bias

    @torch.no_grad()
    def fit(self, label: int, features: Tensor, gt_deltas: Tensor) -> None:
        """Fit one class: features [n, D] and their target deltas [n, 4]."""
        weight, bias = solve(features, gt_deltas, self.penalty)
        self.weight[label], self.bias[label] = weight.T.to(self.weight), bias.to(self.bias)


def solve(features: Tensor, gt_deltas: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Solve equation 5 for whitened deltas: [n, D], [n, 4] -> weight [D, 4], bias [4].

    Deltas are whitened first, as in the released code, so that one penalty suits all four. The smaller of the primal
    [D, D] and the dual [n, n] system is solved; both give the same weights.
    """
    x = torch.cat((features, features.new_ones(len(features), 1)), 1).double()
    mean = gt_deltas.double().mean(0)
    centred = gt_deltas.double() - mean
    whiten, unwhiten = whitening_matrices(centred)
    y = centred @ whiten
    n, d = x.shape
    if n < d:
        solution = x.T @ torch.linalg.solve(x @ x.T + penalty * torch.eye(n, dtype=x.dtype, device=x.device), y)
    else:
        solution = torch.linalg.solve(x.T @ x + penalty * torch.eye(d, dtype=x.dtype, device=x.device), x.T @ y)
    solution = solution @ unwhiten
    return solution[:-1].float(), (solution[-1] + mean).float()


def whitening_matrices(centred: Tensor) -> tuple[Tensor, Tensor]:
    """Return the matrix [4, 4] that gives centred deltas [n, 4] unit covariance, and its inverse."""
    values, vectors = torch.linalg.eigh(centred.T @ centred / len(centred))
    spread = (values + 0.001).sqrt()  # as the released code: a delta may have no variance
    return vectors / spread @ vectors.T, vectors * spread @ vectors.T
