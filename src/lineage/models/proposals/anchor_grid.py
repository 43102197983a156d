"""Anchors of a level: its base anchors at every position; and whether the numbers they are made of fit each other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor

from lineage.ops.layers.kernels import runs_kernels


def repeat(base: Tensor, feature: Tensor, stride: int) -> Tensor:
    """Repeat the base anchors [K, 4] at every position of a map -> [H * W * K, 4]"""
    height, width = feature.shape[-2:]
    if runs_kernels(base) and base.dtype == torch.float32:
        from lineage.ops.cuda import anchor_grid  # Triton loads only where there is a GPU

        return anchor_grid.repeat(base, height, width, stride)
    y = torch.arange(height, device=base.device, dtype=base.dtype) * stride
    x = torch.arange(width, device=base.device, dtype=base.dtype) * stride
    y, x = torch.meshgrid(y, x, indexing="ij")
    shifts = torch.stack((x, y, x, y), dim=-1).reshape(-1, 1, 4)
    return (shifts + base).reshape(-1, 4)


def check_anchors(sizes: Sequence[Sequence[float]], aspect_ratios: Sequence[float], strides: Sequence[int]) -> None:
    """Raise ValueError unless each level has a stride and equally many sizes."""
    if not all(isinstance(level, Sequence) for level in sizes):
        raise ValueError(
            f"sizes={list(sizes)}: each level has a list of sizes, such as [[32], [64], [128], [256], [512]]"
        )
    if len(sizes) != len(strides):
        raise ValueError(
            f"sizes are of {len(sizes)} levels and strides of {len(strides)}: each level needs both, finest first"
        )
    counts = [len(level) for level in sizes]
    if len({*counts}) != 1 or not counts[0] or not aspect_ratios:
        raise ValueError(
            f"anchors per position must be equal on all levels and more than 0: sizes of the levels {counts}, "
            f"aspect_ratios {len(aspect_ratios)}; one convolution predicts for all levels"
        )
    for name, values in (("sizes", [*chain(*sizes)]), ("aspect_ratios", aspect_ratios), ("strides", strides)):
        if min(values) <= 0:
            raise ValueError(f"{name}={list(values)} has {min(values)}: all must be above 0")
