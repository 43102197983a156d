"""ResNet-C4: the last residual stage runs on regions.

ResNet (arXiv:1512.03385), appendix A; Mask R-CNN (arXiv:1703.06870), figure 4, left.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from lineage.models.backbones.fpn import Last
from lineage.models.detectors.rcnn import RCNN, Sampler


class Stage(nn.Module):
    """A residual stage applied to regions, averaged for the box head or kept as a map for the mask head."""

    def __init__(self, stage: nn.Module, channels: int, *, average: bool):
        super().__init__()
        self.stage, self.channels, self.average = stage, channels, average

    def forward(self, regions: Tensor) -> Tensor:
        """[R, C, s, s] -> [R, channels] averaged, or [R, channels, s / 2, s / 2]"""
        hidden = self.stage(regions)
        return torch.mean(hidden, dim=(2, 3)) if self.average else hidden


def c4(
    *,
    backbone: nn.Module,
    neck: None = None,
    proposals: Callable[[int], nn.Module],
    sampler: Sampler,
    box: Callable[..., nn.Module],
    heads: dict[str, Callable[..., nn.Module]],
) -> RCNN:
    """An RCNN on C4 whose heads share the backbone's last stage, weights included; there is no neck to give."""
    stage, channels = backbone.stages[-1], backbone.channels[-1]
    backbone.stages, backbone.channels = backbone.stages[:-1], backbone.channels[:-1]

    def shared(average: bool) -> Callable[[int, int], nn.Module]:
        return lambda _channels, _size: Stage(stage, channels, average=average)

    return RCNN(
        backbone=backbone,
        neck=Last,
        proposals=proposals,
        sampler=sampler,
        box=partial(box, body=shared(average=True)),
        heads={name: partial(head, body=shared(average=False)) for name, head in heads.items()},
    )
