"""Packed pyramid levels without a GPU."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from lineage.ops.layers import level_canvas


def pack_on_cpu(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let a CPU pack levels and clear gaps in torch; return the calls, filled later."""
    calls: list[int] = []

    def clear(canvas: Tensor, sides: Sequence[tuple[int, int]]) -> None:
        calls.append(len(sides))
        is_gap = torch.ones_like(canvas, dtype=torch.bool)
        for window in level_canvas._windows(is_gap, sides):
            window.fill_(False)
        canvas.data.masked_fill_(is_gap, 0.0)  # as a kernel does: unnoticed by autograd

    monkeypatch.setattr(level_canvas, "runs_kernels", lambda x: True)
    monkeypatch.setattr(level_canvas, "_clear_gaps", clear)
    return calls
