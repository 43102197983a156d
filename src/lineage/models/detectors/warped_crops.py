"""The network runs on every region by itself: R-CNN (arXiv:1311.2524), section 2.1 and appendix A.

Fast R-CNN moves the cut: there the convolutions see the image once and regions are pooled from their map. Here the
"map" is the image itself, and the RoI layer crops, warps, and runs all convolutions.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Unpack

import torch
import torchvision
from torch import Tensor, nn

from lineage.models.backbones.normalize import Normalize
from lineage.models.backbones.plain import remove_padding
from lineage.models.detectors.one_map import RCNNParts, one_map_rcnn
from lineage.models.detectors.plain_rcnn import require_plain_backbone
from lineage.models.detectors.rcnn import RCNN
from lineage.structures import Images

CHUNK = 256  # regions at once: 2000 crops and their first feature maps would fill any memory


class PixelMap(nn.Module):
    """The image as a map of stride 1: normalised, zero beyond its content."""

    def __init__(self, normalize: Normalize, channel_order: str):
        super().__init__()
        self.normalize, self.channel_order, self.channels = normalize, channel_order, [3]

    def forward(self, images: Images) -> list[Tensor]:
        """-> one map [B, 3, H, W]"""
        pixels = self.normalize(images)
        return [pixels.flip(1) if self.channel_order == "bgr" else pixels]


class WarpedCropFeatures(nn.Module):
    """RoI layer that runs a network on the warped crop of each region: image and rois -> [R, C, bins, bins]"""

    def __init__(self, bins: int, *, trunk: nn.Module, crop: int, context: int):
        super().__init__()
        # on the crop the network was made for, these are its own pooling windows: 13 -> 6 is 3x3 at stride 2
        self.trunk, self.pool = trunk, nn.AdaptiveMaxPool2d(bins)
        self.crop, self.context = crop, context

    def forward(self, maps: Sequence[Tensor], rois: Tensor, level: None = None) -> Tensor:
        """one map, the image [B, 3, H, W], and rois [R, 5] -> [R, C, bins, bins]"""
        (image,) = maps
        return torch.cat([self.pool(self.trunk(self.warp(image, chunk))) for chunk in rois.split(CHUNK)])

    def warp(self, image: Tensor, rois: Tensor) -> Tensor:
        """Stretch each region and some context to a square: [R, 3, crop, crop], with the mean outside of the image.

        `context` is in pixels of the result, so a region of any size gets the same share of surroundings.
        """
        index, low, high = rois[:, :1], rois[:, 1:3], rois[:, 3:]
        margin = (high - low) * (self.context / (self.crop - 2 * self.context))
        enlarged = torch.cat((index, low - margin, high + margin), dim=1)
        return torchvision.ops.roi_align(image, enlarged, self.crop, 1.0, sampling_ratio=1, aligned=True)


def crop_rcnn(*, crop: int, context: int, unpadded: Sequence[str], **parts: Unpack[RCNNParts]) -> RCNN:
    """Build an RCNN without a map: the backbone's convolutions are part of the box head's RoI layer.

    crop: side of the warped region in pixels.
    context: pixels of the crop on each side that show the region's surroundings.
    unpadded: layers that Fast R-CNN pads to line up its map, and that the classifier has without padding.
    """
    backbone = require_plain_backbone(parts["backbone"])
    trunk = remove_padding(backbone.trunk, unpadded)
    layer = partial(WarpedCropFeatures, trunk=trunk, crop=crop, context=context)
    box = partial(parts["box"], roi=layer, body=lambda _channels, size: backbone.classifier.body(size**2))
    pixels = PixelMap(backbone.normalize, backbone.channel_order)
    return one_map_rcnn(**(parts | {"backbone": pixels, "box": box}))
