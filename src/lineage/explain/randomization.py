"""Cascading randomisation (arXiv:1810.03292): does a map depend on what the network has learned?

Layers are randomised from the top down; a map that stays the same does not explain the network. By the authors' erratum
guided backpropagation survives that of the upper layers only.
"""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn


def randomize_layers(model: nn.Module, *, seed: int, count: int | None = None) -> nn.Module:
    """Return a copy whose last `count` (None: all) convolutions and linear layers have random weights.

    They are normal, of the standard deviation that the layer has.

    The last are those that the model registered last: of a detector, the heads. Layers that share weights stay shared.
    """
    copy = deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    layers = [module for module in copy.modules() if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)]
    with torch.no_grad():
        for layer in layers[0 if count is None else max(0, len(layers) - count) :]:
            noise = torch.randn(layer.weight.shape, generator=generator)
            layer.weight.copy_(noise.to(layer.weight) * layer.weight.std())
    return copy


def rank_correlation(a: Tensor, b: Tensor) -> float:
    """Return Spearman's correlation of two maps of one shape; equal values share their mean rank. 0 of a constant."""
    ranks = [_rank(values.flatten().double()) for values in (a, b)]
    first, second = (rank - rank.mean() for rank in ranks)
    norm = float(first.norm() * second.norm())
    return float(first @ second) / norm if norm > 0 else 0.0


def _rank(values: Tensor) -> Tensor:
    _, group, counts = values.unique(return_inverse=True, return_counts=True)
    last = counts.cumsum(0)
    return (last - (counts - 1) / 2)[group].double()
