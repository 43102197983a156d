"""The CUDA kernels of joined_linear.py: rows of two matrices one after the other, padded with zeros, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from lineage.ops.layers.kernels import FUSED

BLOCK = 1024  # values per program


@triton.jit
def _place(total, columns, ROWS: tl.constexpr, COLUMNS: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return the rows and columns of a program, and which of them exist."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    return row, column, (row < total)[:, None] & (column < columns)[None, :]


@triton.jit
def _join(first, second, out, n, m, total, columns, rows1, columns1, rows2, columns2, rows, strides, ROWS: tl.constexpr, COLUMNS: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip  # noqa: E501
    row, column, inside = _place(total, columns, ROWS, COLUMNS)
    is_first, is_second = (row < n)[:, None], ((row >= n) & (row < n + m))[:, None]
    a = tl.load(first + row[:, None] * rows1 + column[None, :] * columns1, mask=inside & is_first, other=0.0)
    b = tl.load(second + (row - n)[:, None] * rows2 + column[None, :] * columns2, mask=inside & is_second, other=0.0)
    value = tl.where(is_first, a, b).to(out.dtype.element_ty)
    tl.store(out + row[:, None] * rows + column[None, :] * strides, value, mask=inside)


@triton.jit
def _part(joined, first, second, n, m, columns, rows, strides, rows1, columns1, rows2, columns2, ROWS: tl.constexpr, COLUMNS: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip  # noqa: E501
    row, column, inside = _place(n + m, columns, ROWS, COLUMNS)
    value = tl.load(joined + row[:, None] * rows + column[None, :] * strides, mask=inside).to(tl.float32)
    is_first = (row < n)[:, None]
    tl.store(first + row[:, None] * rows1 + column[None, :] * columns1, value, mask=inside & is_first)
    tl.store(second + (row - n)[:, None] * rows2 + column[None, :] * columns2, value, mask=inside & ~is_first)


def join(first: Tensor, second: Tensor, rows: int, dtype: torch.dtype) -> Tensor:
    """Return [n, K] and [m, K] below each other in another type, then zeros: [rows, K], laid out as `first` is."""
    out = _empty(rows, first, dtype)
    sizes = (len(first), len(second), rows, first.shape[1])
    _launch(_join, (first, second, out), sizes, rows, (first, second, out))
    return out


def part(joined: Tensor, sizes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return the first rows of [rows, K] as two matrices in float32, laid out as `joined` is: [n, K] and [m, K]"""
    first, second = (_empty(size, joined, torch.float32) for size in sizes)
    numbers = (*sizes, joined.shape[1])
    _launch(_part, (joined, first, second), numbers, sum(sizes), (joined, first, second))
    return first, second


def _empty(rows: int, like: Tensor, dtype: torch.dtype) -> Tensor:
    """Return memory for [rows, K], by columns if `like` is a transposed matrix."""
    columns = like.shape[1]
    if like.stride(0) == 1 and columns > 1:
        return like.new_empty(columns, rows, dtype=dtype).t()
    return like.new_empty(rows, columns, dtype=dtype)


def _launch(kernel: Any, tensors: Sequence[Tensor], sizes: Sequence[int], rows: int, strided: Sequence[Tensor]) -> None:
    columns = tensors[0].shape[1]
    # values that are neighbours in memory belong to neighbouring threads
    along_rows = tensors[0].stride(0) == 1 and columns > 1
    short = min(triton.next_power_of_2(rows), 128) if along_rows else 1
    block = {"ROWS": short, "COLUMNS": BLOCK // short}
    strides = [stride for tensor in strided for stride in tensor.stride()]
    grid = (triton.cdiv(rows, block["ROWS"]), triton.cdiv(columns, block["COLUMNS"]))
    with torch.cuda.device_of(tensors[0]):
        kernel[grid](*tensors, *sizes, *strides, **block, **FUSED)
