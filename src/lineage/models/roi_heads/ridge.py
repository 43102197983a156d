"""Bounding-box regression in closed form: R-CNN (arXiv:1311.2524), appendix C: ridge from features to codes."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Ridge(nn.Module):
    """One linear map per class from features to the four numbers of a box code; part of the weights, but solved."""

    def __init__(self, features: int, classes: int, *, penalty: float):
        super().__init__()
        self.penalty = penalty
        self.register_buffer("weight", torch.zeros(classes, 4, features))
        self.register_buffer("bias", torch.zeros(classes, 4))  # before a fit: boxes stay where they are

    def forward(self, features: Tensor) -> Tensor:
        """[R, D] -> codes [R, C, 4]"""
        return torch.einsum("rd,ckd->rck", features, self.weight) + self.bias

    @torch.no_grad()
    def fit(self, label: int, features: Tensor, codes: Tensor) -> None:
        """features [n, D] and the codes [n, 4] wanted of them, for one class."""
        weight, bias = solve(features, codes, self.penalty)
        self.weight[label], self.bias[label] = weight.T.to(self.weight), bias.to(self.bias)


def solve(features: Tensor, codes: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Equation 5 for whitened codes: [n, D], [n, 4] -> weight [D, 4], bias [4].

    Codes are whitened first, as in the released code, so that one penalty suits all four. The smaller of the primal
    [D, D] and the dual [n, n] system is solved; both give the same weights.
    """
    x = torch.cat((features, features.new_ones(len(features), 1)), 1).double()
    mean = codes.double().mean(0)
    centred = codes.double() - mean
    white, back = whitening(centred)
    goal = centred @ white
    n, d = x.shape
    if n < d:
        solved = x.T @ torch.linalg.solve(x @ x.T + penalty * torch.eye(n, dtype=x.dtype, device=x.device), goal)
    else:
        solved = torch.linalg.solve(x.T @ x + penalty * torch.eye(d, dtype=x.dtype, device=x.device), x.T @ goal)
    solved = solved @ back
    return solved[:-1].float(), (solved[-1] + mean).float()


def whitening(centred: Tensor) -> tuple[Tensor, Tensor]:
    """The map [4, 4] that gives centred codes [n, 4] unit covariance, and its inverse."""
    values, vectors = torch.linalg.eigh(centred.T @ centred / len(centred))
    spread = (values + 0.001).sqrt()  # the released code's guard against a code that never varies
    return vectors / spread @ vectors.T, vectors * spread @ vectors.T
