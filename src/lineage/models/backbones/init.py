"""How new layers start: the three ways of the lineage. Biases start at 0."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

Layer = nn.Linear | nn.Conv2d | nn.ConvTranspose2d


def gaussian(std: float, *layers: Layer) -> None:
    """Fast and Faster R-CNN's predictors: N(0, std)."""
    _start(layers, lambda weight: nn.init.normal_(weight, std=std))


def xavier(*layers: Layer) -> None:
    """Detectron's XavierFill, which is Kaiming's uniform with a = 1: pyramids and fully connected bodies."""
    _start(layers, lambda weight: nn.init.kaiming_uniform_(weight, a=1))


def msra(*layers: Layer) -> None:
    """Kaiming's normal over the outputs: mask heads."""
    _start(layers, lambda weight: nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu"))


def _start(layers: tuple[Layer, ...], fill: Callable[[Tensor], object]) -> None:
    for layer in layers:
        fill(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
