"""Normalisation layers, by name.

Frozen batch norm is what every R-CNN fine-tuned from ImageNet uses: batches are too small for statistics. Group norm
(arXiv:1803.08494) trains from scratch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeGuard

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce

from lineage.ops.layers.convolution import READERS, convolve, convolve_for_readers
from lineage.ops.layers.filters import FrozenNorm, fold_norm
from lineage.ops.layers.kernels import runs_kernels


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
        scale, shift = self.constants().affine()
        return torch.addcmul(shift.to(x.dtype)[:, None, None], x, scale.to(x.dtype)[:, None, None])

    def constants(self) -> FrozenNorm:
        return FrozenNorm(self.weight, self.bias, self.running_mean, self.running_var, self.eps)

    def _load_from_state_dict(self, state: dict[str, Tensor], prefix: str, *rest: object) -> None:
        state.pop(prefix + "num_batches_tracked", None)  # saved by a trained BatchNorm2d
        super()._load_from_state_dict(state, prefix, *rest)


class CpuSyncBatchNorm(nn.BatchNorm2d):
    """Batch norm by the statistics of all processes, as torch.nn.SyncBatchNorm, which refuses CPUs.

    Gradients flow through the statistics to all processes, as in MegDet (arXiv:1711.07240).
    """

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, H, W] -> the same shape"""
        mean, variance = self._get_statistics(x, training=self.training)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return torch.addcmul(self.bias[:, None, None], x - mean[:, None, None], scale[:, None, None])

    def _get_statistics(self, x: Tensor, *, training: bool) -> tuple[Tensor, Tensor]:
        """Return the mean and the biased variance of each channel, two of [C]: of all processes, or those on record."""
        assert self.running_mean is not None
        assert self.running_var is not None
        if not training:
            return self.running_mean, self.running_var
        count = add_up(x.new_tensor([x.numel() / x.shape[1]]))
        mean = add_up(x.sum((0, 2, 3))) / count
        variance = add_up((x - mean[:, None, None]).square().sum((0, 2, 3))) / count
        self._track(mean.detach(), variance.detach() * count / (count - 1))
        return mean, variance

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics towards those of a batch, whose variance is the unbiased one."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)


def add_up(values: Tensor) -> Tensor:
    """Return the sum over all processes, through which gradients flow."""
    return all_reduce(values) if dist.is_initialized() else values


def convolve_and_normalize(
    x: Tensor, conv: nn.Module, norm: nn.Module, *, shortcut: Tensor | None = None, relu: bool = True
) -> Tensor:
    """Return relu(norm(conv(x)) + shortcut), the shortcut and the ReLU only if asked for.

    A frozen batch norm is folded into the convolution at each call, w' = w * scale, so that it costs no pass over the
    map, and the state dict, the freezing and the gradients stay those of two layers.
    """
    if isinstance(norm, FrozenBatchNorm) and can_fold(conv):
        weight, bias = fold_norm(conv.weight, norm.constants())
        return convolve(x, conv, weight=weight, bias=bias, shortcut=shortcut, relu=relu)
    if type(conv) is nn.Conv2d and isinstance(norm, nn.Identity):
        return convolve(x, conv, shortcut=shortcut, relu=relu)
    y = norm(conv(x))
    if shortcut is not None:
        y = y + shortcut
    return F.relu(y) if relu else y


def can_fold(conv: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Return whether a frozen norm can be folded into a layer."""
    return type(conv) is nn.Conv2d and conv.bias is None


class Shortcut(NamedTuple):
    """A shortcut of a residual block: map + shift."""

    map: Tensor  # [B, C, H, W]
    shift: Tensor | None = None  # [C]


def project(x: Tensor, conv: nn.Module, norm: nn.Module) -> Shortcut:
    """Return norm(conv(x)); on CUDA its shift is left to the convolution whose map it joins: that has a bias anyway."""
    if isinstance(norm, FrozenBatchNorm) and can_fold(conv) and runs_kernels(x):
        weight, shift = fold_norm(conv.weight, norm.constants())
        return Shortcut(F.conv2d(x, weight, None, conv.stride, conv.padding, conv.dilation, conv.groups), shift)
    return Shortcut(convolve_and_normalize(x, conv, norm, relu=False))


def convolve_and_normalize_for_readers(
    x: Tensor, conv: nn.Module, norm: nn.Module, shortcut: Shortcut
) -> tuple[Tensor, ...]:
    """Return relu(norm(conv(x)) + shortcut) three times: for the next block, for its shortcut, and for a pyramid."""
    added, shift = shortcut
    if isinstance(norm, FrozenBatchNorm) and can_fold(conv):
        weight, bias = fold_norm(conv.weight, norm.constants())
        bias = bias if shift is None else bias + shift
        return convolve_for_readers(x, conv, weight=weight, bias=bias, shortcut=added)
    y = convolve_and_normalize(x, conv, norm, shortcut=added if shift is None else added + shift[:, None, None])
    return (y,) * READERS


def synchronize_on_cpu(model: nn.Module) -> None:
    """Replace torch's synchronised batch norms by layers that CPUs have, with the same parameters and buffers."""
    for module in model.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.SyncBatchNorm):
                layer = CpuSyncBatchNorm(child.num_features, child.eps, child.momentum).train(child.training)
                layer._parameters, layer._buffers = child._parameters, child._buffers
                setattr(module, name, layer)


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
