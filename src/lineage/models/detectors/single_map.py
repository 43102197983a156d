"""Fast R-CNN on one map of a plain network: fc6 and fc7 of its classifier run on regions.

Fast R-CNN (arXiv:1504.08083), figure 1; with the RPN in place of given proposals it is the Faster R-CNN of
arXiv:1506.01497 on ZF and VGG-16.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import nn

from lineage.models.backbones.fpn import Last
from lineage.models.backbones.plain import Plain
from lineage.models.detectors.rcnn import RCNN, Sampler


def single_map(
    *,
    backbone: nn.Module,
    neck: None = None,
    proposals: Callable[[int], nn.Module],
    sampler: Sampler,
    box: Callable[..., nn.Module],
    heads: dict[str, Callable[..., nn.Module]],
) -> RCNN:
    """An RCNN on the last map whose box head is the backbone's own fc6 and fc7; there is no neck to give."""
    classifier = plain(backbone)

    def body(channels: int, size: int) -> nn.Module:
        return classifier.head(size**2)

    return RCNN(
        backbone=backbone, neck=Last, proposals=proposals, sampler=sampler, box=partial(box, body=body), heads=heads
    )


def plain(backbone: nn.Module) -> Plain:
    """The backbone as one that has fc6 and fc7."""
    if not isinstance(backbone, Plain):
        raise ValueError(
            f"this model needs a backbone with fc6 and fc7, which {type(backbone).__name__} has not: choose "
            "backbone=caffenet, vgg_m, vgg16 or zf; a residual network goes with model=fast_rcnn_fpn or faster_rcnn"
        )
    return backbone
