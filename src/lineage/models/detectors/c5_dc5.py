"""C5 alone feeds proposals and heads: at stride 32, the baseline (b) of FPN (arXiv:1612.03144), or as DC5 at stride 16,
with dilation in place of the stride: Deformable ConvNets (arXiv:1703.06211, section 4.1), detectron2's baselines.
"""

from __future__ import annotations

from typing import Unpack

from lineage.models.backbones.last_stage import dilate_last_stage
from lineage.models.detectors.one_map import RCNNParts, one_map_rcnn
from lineage.models.detectors.rcnn import RCNN


def c5(*, dilation: int, **parts: Unpack[RCNNParts]) -> RCNN:
    """Build an RCNN on C5, of stride 32, or of stride 16 if `dilation` is 2."""
    if dilation > 1:
        dilate_last_stage(parts["backbone"], dilation)
    return one_map_rcnn(**parts)
