"""The network runs on every region by itself: R-CNN (arXiv:1311.2524), section 2.1 and appendix A.

Fast R-CNN is this with the cut moved: there the convolutions see the image once and regions are pooled from their map.
So here the "map" is the picture itself, and the RoI layer crops, warps, and runs all convolutions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torchvision
from torch import Tensor, nn

from lineage.models.backbones.fpn import Last
from lineage.models.backbones.plain import Plain
from lineage.models.backbones.resnet import Normalize
from lineage.models.detectors.rcnn import RCNN, Sampler
from lineage.structures import Images

CHUNK = 256  # regions at once: 2000 crops and their first feature maps would fill any memory


class Pixels(nn.Module):
    """The picture as a map of stride 1: normalised, zero beyond its content."""

    def __init__(self, normalize: Normalize, order: str):
        super().__init__()
        self.normalize, self.order, self.channels = normalize, order, [3]

    def forward(self, images: Images) -> list[Tensor]:
        pixels = self.normalize(images)
        return [pixels.flip(1) if self.order == "bgr" else pixels]


class RegionNetwork(nn.Module):
    """Picture and rois -> what the network's last pooling layer gives for each: [R, C, bins, bins]"""

    def __init__(self, bins: int, *, trunk: nn.Module, crop: int, context: int):
        super().__init__()
        # on the crop the network was made for, these are its own pooling windows: 13 -> 6 is 3x3 at stride 2
        self.trunk, self.pool = trunk, nn.AdaptiveMaxPool2d(bins)
        self.crop, self.context = crop, context

    def forward(self, picture: Tensor, rois: Tensor) -> Tensor:
        return torch.cat([self.pool(self.trunk(self.warp(picture, part))) for part in rois.split(CHUNK)])

    def warp(self, picture: Tensor, rois: Tensor) -> Tensor:
        """The region and some of its surroundings, stretched to a square: [R, 3, crop, crop]; the mean outside.

        `context` is in pixels of the result, so a region of any size gets the same share of surroundings.
        """
        image, low, high = rois[:, :1], rois[:, 1:3], rois[:, 3:]
        margin = (high - low) * (self.context / (self.crop - 2 * self.context))
        around = torch.cat((image, low - margin, high + margin), dim=1)
        return torchvision.ops.roi_align(picture, around, self.crop, 1.0, sampling_ratio=1, aligned=True)


def region_network(
    *,
    backbone: Plain,
    crop: int,
    context: int,
    unpadded: Sequence[str],
    neck: None = None,
    proposals: Callable[[int], nn.Module],
    sampler: Sampler,
    box: Callable[..., nn.Module],
    heads: dict[str, Callable[..., nn.Module]],
) -> RCNN:
    """An RCNN that has no map: the backbone's convolutions are part of the box head's RoI layer.

    `unpadded` names layers that Fast R-CNN padded to line up its map and that the classifier has without padding.
    """
    for name in unpadded:
        backbone.trunk.get_submodule(name).padding = (0, 0)
    layer = partial(RegionNetwork, trunk=backbone.trunk, crop=crop, context=context)
    return RCNN(
        backbone=Pixels(backbone.normalize, backbone.order),
        neck=Last,
        proposals=proposals,
        sampler=sampler,
        box=partial(box, roi=layer, body=lambda _channels, size: backbone.head(size**2)),
        heads=heads,
    )
