"""VGG_CNN_M_1024, model M of Fast R-CNN (arXiv:1504.08083, section 4.1): as deep as CaffeNet but wider.

From "Return of the Devil in the Details" (arXiv:1405.3531), table 1, CNN-M with fc7 cut to 1024.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from torch import nn

from lineage.models.backbones.caffenet import local_response, rename_blobs
from lineage.models.backbones.plain import PlainBackbone, PlainOptions, convolution, plain_backbone


def vgg_m(
    *,
    channels: Sequence[int],
    strides: Sequence[int],
    lrn: dict[str, float],
    norm: str | None,
    **options: Unpack[PlainOptions],
) -> PlainBackbone:
    """Build VGG_CNN_M. `strides` are those of conv1 and conv2, each followed by a pool of stride 2.

    `options`: see plain_backbone.
    """
    a, b, c, d, e = channels
    layers: dict[str, nn.Module] = {
        **convolution("conv1", 3, a, 7, stride=strides[0], norm=norm),
        "norm1": local_response(lrn),
        "pool1": nn.MaxPool2d(3, 2, ceil_mode=True),
        **convolution("conv2", a, b, 5, stride=strides[1], padding=1, norm=norm),
        "norm2": local_response(lrn),
        "pool2": nn.MaxPool2d(3, 2, ceil_mode=True),
        **convolution("conv3", b, c, 3, padding=1, norm=norm),
        **convolution("conv4", c, d, 3, padding=1, norm=norm),
        **convolution("conv5", d, e, 3, padding=1, norm=norm),
    }
    return plain_backbone(layers, rename_blobs, options)
