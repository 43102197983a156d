"""Truncated SVD of fully connected layers: Fast R-CNN (arXiv:1504.08083), section 3.1.

A u x v layer W ~ U S V^T of rank t becomes two: S V^T without a bias, then U with the old bias. Nothing is retrained.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn


class NoSuchLayer(ValueError):
    """A name that is not a fully connected layer of the model."""


def apply_truncated_svd(model: nn.Module, *, ranks: Mapping[str, int]) -> None:
    """Replace each named layer, e.g. box.body.fc6, by its best approximation of that rank."""
    for name, rank in ranks.items():
        linear = dict(model.named_modules()).get(name)
        if not isinstance(linear, nn.Linear):
            layers = [path for path, layer in model.named_modules() if isinstance(layer, nn.Linear)]
            raise NoSuchLayer(f"edit.svd.ranks: {name} is no fully connected layer; there are {', '.join(layers)}")
        model.set_submodule(name, factorize(linear, rank))


@torch.no_grad()
def factorize(linear: nn.Linear, rank: int) -> nn.Sequential:
    """Split a layer into two by truncated SVD. A `rank` above that of the layer is reduced to it."""
    u, s, v = torch.linalg.svd(linear.weight.double(), full_matrices=False)
    rank = min(rank, len(s))
    first = type(linear)(linear.in_features, rank, bias=False)  # which may flatten its input
    second = nn.Linear(rank, linear.out_features)
    first.weight.copy_(s[:rank, None] * v[:rank])
    second.weight.copy_(u[:, :rank])
    second.bias.copy_(torch.zeros(()) if linear.bias is None else linear.bias)
    return nn.Sequential(first, second).to(linear.weight)


@torch.no_grad()
def zero_box_deltas(model: nn.Module) -> None:
    """Switch box regression off at test time (Fast R-CNN, table 6): every detection is its proposal."""
    deltas = dict(model.named_modules()).get("box.deltas")
    if not isinstance(deltas, nn.Linear):
        raise NoSuchLayer("edit=no_box_regression: the model has no box.deltas to set to zero")
    deltas.weight.zero_()
    deltas.bias.zero_()
