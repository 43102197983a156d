"""CaffeNet, model S of Fast R-CNN (arXiv:1504.08083, section 4.1): AlexNet as Caffe published it.

Grouped convolutions, 96-256-384-384-256 channels, and pooling before the normalisation; torchvision's `alexnet` is
another network (64-192-384-256-256, neither groups nor normalisation). Padding is Fast R-CNN's, which differs from the
classifier's in conv1 and the pools so that a map's pixel i lies at image pixel 16 i.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from torch import Tensor, nn

from lineage.models.backbones.plain import PlainBackbone, PlainOptions, convolution, plain_backbone


def caffenet(
    *,
    channels: Sequence[int],
    stride: int,
    groups: int,
    lrn: dict[str, float],
    norm: str | None,
    **options: Unpack[PlainOptions],
) -> PlainBackbone:
    """Build CaffeNet. `stride` is conv1's; the whole body has four times that. `options`: see plain_backbone."""
    a, b, c, d, e = channels
    layers: dict[str, nn.Module] = {
        **convolution("conv1", 3, a, 11, stride=stride, padding=5, norm=norm),
        "pool1": nn.MaxPool2d(3, 2, padding=1, ceil_mode=True),  # Caffe rounds the size of a pooled map up
        "norm1": local_response(lrn),
        **convolution("conv2", a, b, 5, padding=2, groups=groups, norm=norm),
        "pool2": nn.MaxPool2d(3, 2, padding=1, ceil_mode=True),
        "norm2": local_response(lrn),
        **convolution("conv3", b, c, 3, padding=1, norm=norm),
        **convolution("conv4", c, d, 3, padding=1, groups=groups, norm=norm),
        **convolution("conv5", d, e, 3, padding=1, groups=groups, norm=norm),
    }
    return plain_backbone(layers, rename_blobs, options)


def local_response(lrn: dict[str, float]) -> nn.LocalResponseNorm:
    """Build the normalisation across channels; torch and Caffe both divide alpha by the window."""
    return nn.LocalResponseNorm(int(lrn["window"]), alpha=lrn["alpha"], beta=lrn["beta"], k=lrn["k"])


def rename_blobs(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Reduce names to `layer.weight` and `layer.bias`: without a prefix such as `trunk.`, blobs of Caffe by name."""
    leaves = {name: name.split(".")[-2:] for name in state}
    blobs = {"0": "weight", "1": "bias"}
    return {f"{layer}.{blobs.get(leaf, leaf)}": state[name] for name, (layer, leaf) in leaves.items()}
