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

    def fill(canvas: Tensor, levels: Sequence[Tensor], sides: Sequence[tuple[int, int]]) -> None:
        canvas.zero_()
        for window, level in zip(level_canvas._windows(canvas, sides), levels, strict=True):
            window.copy_(level)

    def write(canvas: Tensor, sides: Sequence[tuple[int, int]], bias: Tensor, outputs: Tensor, first: int) -> None:
        windows = level_canvas._windows(canvas, sides)
        pixels = torch.cat([window.permute(0, 2, 3, 1).flatten(1, 2) for window in windows], 1)
        outputs[:, first : first + pixels.shape[1]] = pixels + bias

    def read(canvas: Tensor, sides: Sequence[tuple[int, int]], grad: Tensor, first: int) -> Tensor:
        canvas.zero_()
        areas = [height * width for height, width in sides]
        parts = grad[:, first : first + sum(areas)].split(areas, 1)
        for window, part in zip(level_canvas._windows(canvas, sides), parts, strict=True):
            window.copy_(part.unflatten(1, window.shape[2:]).permute(0, 3, 1, 2))
        return canvas.float().sum((0, 2, 3))[None]

    for name, function in (("_fill", fill), ("_write", write), ("_read", read)):
        monkeypatch.setattr(level_canvas, name, function)
    monkeypatch.setattr(level_canvas, "runs_kernels", lambda x: True)
    monkeypatch.setattr(level_canvas, "_clear_gaps", clear)
    return calls
