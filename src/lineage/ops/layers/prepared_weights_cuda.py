"""The CUDA kernel of prepared_weights.py: many tensors cast, and scaled by their norms, in a launch or two.

The kernel finds the tensors in tables in device memory. A recorded launch reads them at each replay, so they may be
written after it was recorded: the addresses of gradients are not known before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from lineage.ops.layers.filters import FrozenNorm
from lineage.ops.layers.kernels import FUSED

BLOCK, SINGLE_BLOCK = 4096, 1024  # values per program, of tensors in groups and of others
GROUP = 4  # values that a thread reads and writes at once: 16 bytes of float32
ALIGNMENT = 16  # bytes, of the addresses of groups
COLUMNS = 10  # of the table of tensors
TYPES = {torch.float32: tl.float32, torch.bfloat16: tl.bfloat16, torch.float16: tl.float16}


class Cast(NamedTuple):
    """A tensor written to another of the same order in memory, each filter [O] scaled by a norm if there is one."""

    source: Tensor
    target: Tensor
    norm: FrozenNorm | None
    shift: Tensor | None  # [O]: where to write the norm's shift, of the type of the target


@triton.jit
def _cast(tensors, blocks, SOURCE: tl.constexpr, TARGET: tl.constexpr, SHIFT: tl.constexpr, COLUMNS: tl.constexpr, GROUP: tl.constexpr, ALIGNMENT: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip  # noqa: E501
    block = blocks + 2 * tl.program_id(0)
    row = tensors + tl.load(block) * COLUMNS
    source = tl.multiple_of(tl.load(row).to(tl.pointer_type(SOURCE)), ALIGNMENT)
    target = tl.multiple_of(tl.load(row + 1).to(tl.pointer_type(TARGET)), ALIGNMENT)
    total = tl.load(row + 2).to(tl.int32)
    gamma = tl.load(row + 4)
    first = tl.multiple_of(tl.load(block + 1), BLOCK)
    start = first + tl.arange(0, BLOCK // GROUP) * GROUP  # of groups, none of which crosses the end or a filter's
    index = start[:, None] + tl.arange(0, GROUP)[None, :]
    inside = start < total
    value = tl.load(source + index, mask=inside[:, None]).to(tl.float32)
    if gamma != 0:
        size = tl.load(row + 3).to(tl.int32)
        filter = start // size
        variance = tl.load(tl.load(row + 5).to(tl.pointer_type(tl.float32)) + filter, mask=inside, other=1.0)
        eps = tl.load(row + 6).to(tl.int32).to(tl.float32, bitcast=True)
        scale = tl.load(gamma.to(tl.pointer_type(tl.float32)) + filter, mask=inside) * tl.rsqrt(variance + eps)
        value *= scale[:, None]
        if SHIFT:
            is_first = inside & (start == filter * size)
            beta = tl.load(tl.load(row + 7).to(tl.pointer_type(tl.float32)) + filter, mask=is_first)
            mean = tl.load(tl.load(row + 8).to(tl.pointer_type(tl.float32)) + filter, mask=is_first)
            shift = tl.load(row + 9).to(tl.pointer_type(TARGET))
            tl.store(shift + filter, (beta - mean * scale).to(TARGET), mask=is_first)
    tl.store(target + index, value.to(TARGET), mask=inside[:, None])


class Casts:
    """The casts of some tensors, at most all of those that there is room for."""

    def __init__(self, like: Sequence[Tensor]) -> None:
        """Reserve tables for tensors as large as these."""
        device = like[0].device if like else None
        self.tensors = torch.zeros(len(like), COLUMNS, dtype=torch.int64, device=device)
        blocks = sum(triton.cdiv(tensor.numel(), SINGLE_BLOCK) for tensor in like)
        self.blocks = torch.zeros(blocks, 2, dtype=torch.int32, device=device)
        self.grouped: list[Cast] = []
        self.single: list[Cast] = []

    def plan(self, casts: Sequence[Cast]) -> None:
        """Choose the casts, all between the same two types."""
        casts = [cast for cast in casts if cast.source.numel()]
        self.grouped = [cast for cast in casts if _is_grouped(cast)]
        self.single = [cast for cast in casts if not _is_grouped(cast)]

    def write_tables(self) -> None:
        """Tell the kernel what it casts; the host waits for the copy, so no recording may be under way."""
        rows = [_describe(cast) for cast in (*self.grouped, *self.single)]
        blocks = _list_blocks(self.grouped, BLOCK, 0) + _list_blocks(self.single, SINGLE_BLOCK, len(self.grouped))
        if rows:
            self.tensors[: len(rows)].copy_(torch.tensor(rows, dtype=torch.int64))
            self.blocks[: len(blocks)].copy_(torch.tensor(blocks, dtype=torch.int32))

    def launch(self) -> None:
        begin = len(_list_blocks(self.grouped, BLOCK, 0))
        if self.grouped:
            self._launch(self.grouped, self.blocks[:begin], GROUP=GROUP, ALIGNMENT=ALIGNMENT, BLOCK=BLOCK)
        if self.single:
            end = begin + len(_list_blocks(self.single, SINGLE_BLOCK, 0))
            self._launch(self.single, self.blocks[begin:end], GROUP=1, ALIGNMENT=1, BLOCK=SINGLE_BLOCK)

    def _launch(self, casts: Sequence[Cast], blocks: Tensor, **constants: int) -> None:
        types = {"SOURCE": TYPES[casts[0].source.dtype], "TARGET": TYPES[casts[0].target.dtype]}
        flags = types | {"SHIFT": any(cast.shift is not None for cast in casts), "COLUMNS": COLUMNS}
        _cast[(len(blocks),)](self.tensors, blocks, **flags, **constants, num_warps=4, **FUSED)


def _is_grouped(cast: Cast) -> bool:
    """Return whether groups end where filters do, and begin at addresses that vectors are read from."""
    size = cast.source.numel() if cast.norm is None else cast.source[0].numel()
    return size % GROUP == 0 and all(x.data_ptr() % ALIGNMENT == 0 for x in (cast.source, cast.target))


def _list_blocks(casts: Sequence[Cast], size: int, position: int) -> list[tuple[int, int]]:
    """Return (row in the table of tensors, first value) of each program; `position` is the row of the first cast."""
    return [(row, first) for row, cast in enumerate(casts, position) for first in range(0, cast.source.numel(), size)]


def _describe(cast: Cast) -> list[int]:
    """Return the row of a table: addresses, sizes, and the bits of eps."""
    source, target, norm, shift = cast
    row = [source.data_ptr(), target.data_ptr(), source.numel(), source[0].numel()]
    if norm is not None:
        eps = int(torch.tensor(norm.eps, dtype=torch.float32).view(torch.int32))
        row += [norm.weight.data_ptr(), norm.variance.data_ptr(), eps]
        row += [norm.bias.data_ptr(), norm.mean.data_ptr(), 0 if shift is None else shift.data_ptr()]
    return row + [0] * (COLUMNS - len(row))
