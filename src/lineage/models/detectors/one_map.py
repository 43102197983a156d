"""R-CNNs without a pyramid: proposals and heads read the backbone's last map."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypedDict, Unpack

from torch import nn

from lineage.models.backbones.last_map import LastMap
from lineage.models.detectors.rcnn import RCNN, ProposalSampler

Heads = dict[str, Callable[..., nn.Module]]


class RCNNParts(TypedDict):
    """Keywords of an RCNN, as configs give them.

    Parts whose width depends on their input are unbuilt: channels -> module. Functions that build a variant take them
    as `**parts`, replace some, and pass the rest on.
    """

    backbone: nn.Module
    neck: Callable[[Sequence[int]], nn.Module] | None
    proposals: Callable[[int], nn.Module]
    sampler: ProposalSampler
    box: Callable[..., nn.Module]
    heads: Heads


def one_map_rcnn(**parts: Unpack[RCNNParts]) -> RCNN:
    """Build an RCNN on the backbone's last map. Raises ValueError if it is given a neck, which it would not use."""
    if parts["neck"] is not None:
        raise ValueError(
            "this model reads the backbone's last map: set model.neck=null, or choose a model with a pyramid"
        )
    keywords: Any = parts | {"neck": LastMap}
    return RCNN(**keywords)
