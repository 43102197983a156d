"""ResNet-C4: the last residual stage runs on regions.

ResNet (arXiv:1512.03385), appendix A; Mask R-CNN (arXiv:1703.06870), figure 4, left.
"""

from __future__ import annotations

from functools import partial
from typing import Unpack

import torch
from torch import Tensor, nn

from lineage.models.backbones.last_stage import split_last_stage
from lineage.models.detectors.one_map import Heads, RCNNParts, one_map_rcnn
from lineage.models.detectors.rcnn import RCNN


class LastStageBody(nn.Module):
    """The last residual stage applied to regions, averaged for the box head or kept as a map for the mask head."""

    def __init__(self, stage: nn.Module, channels: int, *, average: bool):
        super().__init__()
        self.stage, self.channels, self.average = stage, channels, average

    def forward(self, regions: Tensor) -> Tensor:
        """[R, C, s, s] -> [R, channels] averaged, or [R, channels, s / 2, s / 2]"""
        hidden = self.stage(regions)
        return torch.mean(hidden, dim=(2, 3)) if self.average else hidden


def c4(**parts: Unpack[RCNNParts]) -> RCNN:
    """Build an RCNN on C4. All heads share the backbone's last stage, weights included."""
    trunk, stage, channels = split_last_stage(parts["backbone"])

    def build_box_body(_channels: int, _size: int) -> nn.Module:
        return LastStageBody(stage, channels, average=True)

    def build_map_body(_channels: int, _size: int) -> nn.Module:
        return LastStageBody(stage, channels, average=False)

    box = partial(parts["box"], body=build_box_body)
    heads: Heads = {name: partial(head, body=build_map_body) for name, head in parts["heads"].items()}
    return one_map_rcnn(**(parts | {"backbone": trunk, "box": box, "heads": heads}))
