"""Normalisation layers, by name.

Frozen batch norm is what every R-CNN fine-tuned from ImageNet uses: batches are too small for statistics. Group norm
(arXiv:1803.08494) trains from scratch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn


class FrozenBatchNorm(nn.Module):
    """Batch norm with constant statistics and affine parameters: one multiply-add per pixel."""

    def __init__(self, channels: int, eps: float = 1e-5):
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, H, W] -> the same shape"""
        scale = self.weight * torch.rsqrt(self.running_var + self.eps)
        shift = self.bias - self.running_mean * scale
        return torch.addcmul(shift.to(x.dtype)[:, None, None], x, scale.to(x.dtype)[:, None, None])

    def _load_from_state_dict(self, state: dict[str, Tensor], prefix: str, *rest: object) -> None:
        state.pop(prefix + "num_batches_tracked", None)  # saved by a trained BatchNorm2d
        super()._load_from_state_dict(state, prefix, *rest)


def group_norm(channels: int, *, groups: int, group_channels: int) -> nn.GroupNorm:
    """Build a group norm of at most `groups` groups, a divisor of the width, of at least `group_channels` channels."""
    limit = max(min(groups, channels // group_channels), 1)
    return nn.GroupNorm(next(count for count in range(limit, 0, -1) if channels % count == 0), channels)


LAYERS: dict[str, Callable[[int], nn.Module]] = {
    "frozen_bn": FrozenBatchNorm,
    "bn": nn.BatchNorm2d,
    "sync_bn": nn.SyncBatchNorm,
    "gn32": partial(group_norm, groups=32, group_channels=1),  # the paper, Detectron, detectron2: at 64 channels too
    "gn": partial(group_norm, groups=32, group_channels=4),  # thin bodies, which 32 groups would leave single channels
}


def get_norm(name: str) -> Callable[[int], nn.Module]:
    """Return the constructor (channels -> layer) of frozen_bn, bn, sync_bn, gn32 or gn.

    From 128 channels up gn32 and gn are equal.
    """
    if name not in LAYERS:
        raise ValueError(f"backbone.norm={name} is unknown; choose one of {', '.join(LAYERS)}")
    return LAYERS[name]
