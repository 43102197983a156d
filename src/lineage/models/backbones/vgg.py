"""VGG-16 (arXiv:1409.1556), model L of Fast R-CNN (arXiv:1504.08083, section 4.1): 3x3 convolutions only.

Without pool5, in whose place regions are pooled. Takes torchvision's weights (RGB, mean and deviation) and, under
Caffe's layer names, the original ones (BGR, mean only).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from lineage.models.backbones.caffenet import by_layer
from lineage.models.backbones.plain import Plain, convolution

SIXTEEN = (2, 2, 3, 3, 3)  # convolutions of each block: torchvision's numbering of `features` follows from it


def vgg(
    *,
    channels: Sequence[int],
    depths: Sequence[int],
    norm: str | None,
    **rest: Any,
) -> Plain:
    """A block of `depths[i]` convolutions of `channels[i]` each; with pools between blocks, n stride 2^(n-1).

    `rest` is what every plain body has: see Plain.
    """
    layers: dict[str, nn.Module] = {}
    inputs = 3
    for block, (width, depth) in enumerate(zip(channels, depths, strict=True), 1):
        if block > 1:
            layers[f"pool{block - 1}"] = nn.MaxPool2d(2, 2, ceil_mode=True)
        for number in range(1, depth + 1):
            layers |= convolution(f"conv{block}_{number}", inputs, width, 3, padding=1, norm=norm)
            inputs = width
    return Plain(layers, translate=translate, **rest)


def translate(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """torchvision's names -> Caffe's: features.N counts ReLUs and pools too; classifier.0 and .3 are fc6 and fc7."""
    if not any(name.startswith("features.") for name in state):
        return by_layer(state)
    names, index = {"classifier.0": "fc6", "classifier.3": "fc7"}, 0
    for block, depth in enumerate(SIXTEEN, 1):
        for number in range(1, depth + 1):
            names[f"features.{index}"] = f"conv{block}_{number}"
            index += 2
        index += 1
    split = {name: name.rpartition(".") for name in state}
    return {f"{names[layer]}.{kind}": state[name] for name, (layer, _, kind) in split.items() if layer in names}
