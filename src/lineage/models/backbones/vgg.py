"""VGG-16 (arXiv:1409.1556), model L of Fast R-CNN (arXiv:1504.08083, section 4.1): 3x3 convolutions only.

pool5 is left out: RoI pooling takes its place. Reads torchvision's weights (RGB, mean and deviation) and, under
Caffe's layer names, the original ones (BGR, mean only).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from torch import Tensor, nn

from lineage.models.backbones.caffenet import rename_blobs
from lineage.models.backbones.plain import PlainBackbone, PlainOptions, convolution, plain_backbone

VGG16_DEPTHS = (2, 2, 3, 3, 3)  # convolutions per block, which give torchvision's numbering of `features`


def vgg(
    *,
    channels: Sequence[int],
    depths: Sequence[int],
    norm: str | None,
    **options: Unpack[PlainOptions],
) -> PlainBackbone:
    """Build a VGG: block i has `depths[i]` convolutions of `channels[i]`, with a pool after each block but the last.

    `options`: see plain_backbone.
    """
    layers: dict[str, nn.Module] = {}
    inputs = 3
    for block, (width, depth) in enumerate(zip(channels, depths, strict=True), 1):
        if block > 1:
            layers[f"pool{block - 1}"] = nn.MaxPool2d(2, 2, ceil_mode=True)
        for number in range(1, depth + 1):
            layers |= convolution(f"conv{block}_{number}", inputs, width, 3, padding=1, norm=norm)
            inputs = width
    return plain_backbone(layers, translate, options)


def translate(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename torchvision's layers to Caffe's: features.N counts ReLUs and pools too, classifier.0, .3 are fc6, fc7."""
    if not any(name.startswith("features.") for name in state):
        return rename_blobs(state)
    names, index = {"classifier.0": "fc6", "classifier.3": "fc7"}, 0
    for block, depth in enumerate(VGG16_DEPTHS, 1):
        for number in range(1, depth + 1):
            names[f"features.{index}"] = f"conv{block}_{number}"
            index += 2
        index += 1
    stems = {name: name.rpartition(".") for name in state}
    return {f"{names[layer]}.{leaf}": state[name] for name, (layer, _, leaf) in stems.items() if layer in names}
