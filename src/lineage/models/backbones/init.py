"""Initialisation of new layers. Biases start at 0."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

Layer = nn.Linear | nn.Conv2d | nn.ConvTranspose2d


def gaussian(std: float, *layers: Layer) -> None:
    """Draw from N(0, std): predictors of Fast and Faster R-CNN."""
    _fill(layers, lambda weight: nn.init.normal_(weight, std=std))


def xavier(*layers: Layer) -> None:
    """Apply Caffe2's XavierFill, which is Kaiming's uniform with a = 1: pyramids and fully connected bodies."""
    _fill(layers, lambda weight: nn.init.kaiming_uniform_(weight, a=1))


def msra(*layers: Layer) -> None:
    """Apply Kaiming's normal over the outputs (Caffe2's MSRAFill): mask heads."""
    _fill(layers, lambda weight: nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu"))


def _fill(layers: tuple[Layer, ...], draw: Callable[[Tensor], object]) -> None:
    for layer in layers:
        draw(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
