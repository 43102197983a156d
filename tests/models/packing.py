"""Packed pyramid levels without a GPU."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from lineage.ops.layers import level_canvas


def pack_on_cpu(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let a CPU pack levels, kernels in torch; return the numbers of levels whose gaps are cleared, filled later."""
    calls: list[int] = []

    def clear(canvas: Tensor, sides: Sequence[tuple[int, int]]) -> None:
        calls.append(len(sides))
        is_gap = torch.ones_like(canvas, dtype=torch.bool)
        for window in level_canvas._windows(is_gap, sides):
            window.fill_(False)
        canvas.data.masked_fill_(is_gap, 0.0)  # as a kernel does: unnoticed by autograd

    def write_all(levels: Sequence[Tensor], bias: Tensor) -> Tensor:
        return torch.cat([level.permute(0, 2, 3, 1).flatten(1, 2) for level in levels], 1).float() + bias

    def read_all(grad: Tensor, levels: Sequence[Tensor]) -> None:
        parts = grad.split([level.shape[2] * level.shape[3] for level in levels], 1)
        for level, part in zip(levels, parts, strict=True):
            level.copy_(part.unflatten(1, level.shape[2:]).permute(0, 3, 1, 2))

    monkeypatch.setattr(level_canvas, "_write_all", write_all)
    monkeypatch.setattr(level_canvas, "_read_all", read_all)
    monkeypatch.setattr(level_canvas, "runs_kernels", lambda x: True)
    monkeypatch.setattr(level_canvas, "_clear_gaps", clear)
    return calls
