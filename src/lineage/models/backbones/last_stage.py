"""The last stage of a residual body: split off for the heads of C4, dilated for DC5."""

from __future__ import annotations

from typing import NamedTuple

from torch import nn

from lineage.models.backbones.deformable_conv import DeformableConv


class SplitBackbone(NamedTuple):
    trunk: nn.Module  # the backbone without its last stage
    stage: nn.Module
    channels: int  # width of the stage's output


def split_last_stage(backbone: nn.Module) -> SplitBackbone:
    """Take the last stage off a backbone of stages (ResNet, RegNet). The backbone itself becomes the trunk."""
    *stages, last_stage = require_stages(backbone)
    *channels, last_channels = backbone.channels
    backbone.stages, backbone.channels = nn.ModuleList(stages), channels
    return SplitBackbone(backbone, last_stage, last_channels)


def dilate_last_stage(backbone: nn.Module, factor: int) -> nn.Module:
    """Replace the strides of the last stage by dilation, in place: its map stays as large as its input."""
    dilate(require_stages(backbone)[-1], factor)
    return backbone


def dilate(stage: nn.Module, factor: int) -> None:
    """Set strides to 1 and the dilation of 3x3 convolutions to `factor`, so that they read positions as far apart."""
    for layer in stage.modules():
        if isinstance(layer, nn.AvgPool2d):  # of ResNet-D's shortcut
            layer.kernel_size = layer.stride = 1
        if isinstance(layer, nn.Conv2d | DeformableConv):
            layer.stride = (1, 1)
            if layer.weight.shape[-1] == 3:
                layer.dilation = layer.padding = (factor, factor)


def require_stages(backbone: nn.Module) -> nn.ModuleList:
    """Return the stages of a residual body. Raises ValueError for any other backbone."""
    stages = getattr(backbone, "stages", None)
    if not isinstance(stages, nn.ModuleList):
        raise ValueError(
            f"this model uses the last stage of a residual body, which {type(backbone).__name__} does not have: choose "
            "a ResNet, ResNeXt or RegNet, such as backbone=resnet50"
        )
    return stages
