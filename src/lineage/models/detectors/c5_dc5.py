"""C5 alone feeds proposals and heads: at stride 32, the baseline (b) of FPN (arXiv:1612.03144), or as DC5 at stride 16,
with dilation in place of the stride: Deformable ConvNets (arXiv:1703.06211, section 4.1), detectron2's baselines.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from lineage.models.backbones.deformable_conv import DeformableConv
from lineage.models.backbones.fpn import Last
from lineage.models.detectors.rcnn import RCNN, Sampler


def dilate(stage: nn.Module, factor: int) -> None:
    """Strides become 1; 3x3 convolutions look `factor` times as far, so that each sees what it was trained on."""
    for layer in stage.modules():
        if isinstance(layer, nn.Conv2d | DeformableConv):
            layer.stride = (1, 1)
            if layer.weight.shape[-1] == 3:
                layer.dilation = layer.padding = (factor, factor)


def c5(
    *,
    dilation: int,
    backbone: nn.Module,
    neck: None = None,
    proposals: Callable[[int], nn.Module],
    sampler: Sampler,
    box: Callable[..., nn.Module],
    heads: dict[str, Callable[..., nn.Module]],
) -> RCNN:
    """An RCNN on C5, of stride 32 or, if `dilation` is 2, of stride 16; there is no neck to give."""
    if dilation > 1:
        dilate(backbone.stages[-1], dilation)
    return RCNN(backbone=backbone, neck=Last, proposals=proposals, sampler=sampler, box=box, heads=heads)
