"""torchvision's Faster and Mask R-CNN checkpoints <-> ours: a table of names and where background sits.

torchvision puts background first, this code base last; box codes and masks of background exist there and not here.
Their published weights were trained with FrozenBatchNorm eps = 0 (see `frozen_eps`).
"""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn

from lineage.models.norm import FrozenBatchNorm

NAMES = (
    (r"backbone\.body\.conv1\.", "backbone.stem.0."),
    (r"backbone\.body\.bn1\.", "backbone.stem.1."),
    (r"backbone\.body\.layer([1-4])\.", lambda found: f"backbone.stages.{int(found[1]) - 1}."),
    (r"backbone\.fpn\.inner_blocks\.(\d)(\.0)?\.", r"neck.lateral.\1."),
    (r"backbone\.fpn\.layer_blocks\.(\d)(\.0)?\.", r"neck.smooth.\1."),
    (r"rpn\.head\.conv(\.0\.0)?\.", "proposals.convolution."),
    (r"rpn\.head\.cls_logits\.", "proposals.objectness."),
    (r"rpn\.head\.bbox_pred\.", "proposals.deltas."),
    (r"roi_heads\.box_head\.fc6\.", "box.body.1."),
    (r"roi_heads\.box_head\.fc7\.", "box.body.3."),
    (r"roi_heads\.box_predictor\.cls_score\.", "box.scores."),
    (r"roi_heads\.box_predictor\.bbox_pred\.", "box.deltas."),
    (r"roi_heads\.mask_head\.(\d)\.0\.", lambda found: f"heads.mask.body.{2 * int(found[1])}."),
    (r"roi_heads\.mask_head\.mask_fcn([1-4])\.", lambda found: f"heads.mask.body.{2 * int(found[1]) - 2}."),
    (r"roi_heads\.mask_predictor\.conv5_mask\.", "heads.mask.deconvolution."),
    (r"roi_heads\.mask_predictor\.mask_fcn_logits\.", "heads.mask.masks."),
)


def ours(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A torchvision detection state dict under our names and class order; KeyError for a name not in the table."""
    return {name: _reorder(name, value) for name, value in ((_rename(name), value) for name, value in state.items())}


def _rename(name: str) -> str:
    for pattern, ours in NAMES:
        renamed, hits = re.subn("^" + pattern, ours, name)
        if hits:
            return renamed
    raise KeyError(f"torchvision parameter {name!r} has no counterpart here")


def _reorder(name: str, value: Tensor) -> Tensor:
    if name.startswith("box.scores."):
        return torch.cat((value[1:], value[:1]))
    if name.startswith("box.deltas."):
        return value[4:]
    return value[1:] if name.startswith("heads.mask.masks.") else value


def frozen_eps(model: nn.Module, eps: float = 0.0) -> None:
    """Sets eps of every frozen batch norm: torchvision's COCO weights need 0, its random models 1e-5."""
    for module in model.modules():
        if isinstance(module, FrozenBatchNorm):
            module.eps = eps
