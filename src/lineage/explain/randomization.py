"""Cascading randomisation (arXiv:1810.03292): does a map depend on what the network has learned?

Layers are randomised from the top down, and stay random: a map that stays the same does not explain the network. By the
authors' erratum guided backpropagation survives that of the upper layers only.
"""

from __future__ import annotations

from collections.abc import Collection
from copy import deepcopy

import torch
from torch import Tensor, nn

from lineage.explain.sensitivity import correlate

LAYERS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
HEADS = ("box", "head")  # parts that predict classes: the box head of an R-CNN, the head of a RetinaNet


def randomize_layers(model: nn.Module, *, seed: int, names: Collection[str] | None = None) -> nn.Module:
    """Return a copy whose convolutions and linear layers, all or those of `names`, have random weights.

    They are normal, of the standard deviation that the layer has. A layer has the same weights whichever others are
    random. Layers that share weights stay shared.
    """
    copy = deepcopy(model)
    with torch.no_grad():
        for number, (name, layer) in enumerate(find_layers(copy).items()):
            if names is None or name in names:
                generator = torch.Generator().manual_seed(1_000_003 * seed + number)
                noise = torch.randn(layer.weight.shape, generator=generator)
                layer.weight.copy_(noise.to(layer.weight) * layer.weight.std())
    return copy


def cascade(model: nn.Module) -> dict[str, list[str]]:
    """Return the names of the random layers of each step, from the top down; each step contains the one before.

    head: of the part that predicts classes. neck: of the pyramid or upsampling too. upper_body: of the body's upper
    half too. model: of the whole network.
    """
    names = list(find_layers(model))
    head, neck, body = (
        [name for name in names if name.partition(".")[0] in parts] for parts in (HEADS, ("neck",), ("backbone",))
    )
    upper = body[len(body) // 2 :]
    return {"head": head, "neck": head + neck, "upper_body": head + neck + upper, "model": names}


def find_layers(model: nn.Module) -> dict[str, nn.Conv2d | nn.ConvTranspose2d | nn.Linear]:
    """Return the layers that are randomised by name, in the order of their registration."""
    return {name: module for name, module in model.named_modules() if isinstance(module, LAYERS)}


def rank_correlation(a: Tensor, b: Tensor) -> float:
    """Return Spearman's correlation of two maps of one shape; equal values share their mean rank. 0 of a constant."""
    return correlate(_rank(a.flatten().double()), _rank(b.flatten().double())) if a.numel() else 0.0


def _rank(values: Tensor) -> Tensor:
    _, group, counts = values.unique(return_inverse=True, return_counts=True)
    last = counts.cumsum(0)
    return (last - (counts - 1) / 2)[group].double()
