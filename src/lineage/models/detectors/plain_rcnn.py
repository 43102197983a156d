"""Fast R-CNN on a plain network (CaffeNet, VGG, ZF): fc6 and fc7 of its classifier run on regions.

Fast R-CNN (arXiv:1504.08083), figure 1; with the RPN in place of given proposals it is the Faster R-CNN of
arXiv:1506.01497 on ZF and VGG-16.
"""

from __future__ import annotations

from functools import partial
from typing import Unpack

from torch import nn

from lineage.models.backbones.plain import PlainBackbone
from lineage.models.detectors.one_map import RCNNParts, one_map_rcnn
from lineage.models.detectors.rcnn import RCNN


def plain_rcnn(**parts: Unpack[RCNNParts]) -> RCNN:
    """Build an RCNN whose box head is fc6 and fc7 of the backbone's classifier."""
    classifier = require_plain_backbone(parts["backbone"]).classifier

    def build_body(_channels: int, size: int) -> nn.Module:
        return classifier.body(size**2)

    return one_map_rcnn(**(parts | {"box": partial(parts["box"], body=build_body)}))


def require_plain_backbone(backbone: nn.Module) -> PlainBackbone:
    """Return the backbone as one with fc6 and fc7. Raises ValueError if it is of another kind."""
    if not isinstance(backbone, PlainBackbone):
        raise ValueError(
            f"this model needs a backbone with fc6 and fc7, which {type(backbone).__name__} has not: choose "
            "backbone=caffenet, vgg_m, vgg16 or zf; a residual network goes with model=fast_rcnn_fpn or faster_rcnn"
        )
    return backbone
