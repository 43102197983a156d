"""Parts of kernels that read the scores of all classes, [R, C], some regions a program."""

from __future__ import annotations

import triton
import triton.language as tl

SCORES = 1024  # that a program reads at once


@triton.jit
def read_scores(scores, total, CLASSES: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return the regions and classes of a program, the place of each score, and the scores, -inf beyond the last."""
    row, column = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.arange(0, COLUMNS)
    inside = (row < total)[:, None] & (column < CLASSES)[None, :]
    place = row.to(tl.int64)[:, None] * CLASSES + column[None, :]
    return row, column, place, tl.load(scores + place, mask=inside, other=-float("inf")).to(tl.float32)


@triton.jit
def likeliest(x, column, COUNT: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return the class of the largest score among the first COUNT of each region.

    It is torch's argmax of the softmax: of equal scores the first; 0 where a score of any class is NaN or infinite,
    since then all probabilities are NaN.
    """
    counted = tl.where((column < COUNT)[None, :], x, -float("inf"))
    is_largest = (counted == tl.max(counted, 1)[:, None]) & (column < COUNT)[None, :]
    first = tl.min(tl.where(is_largest, column[None, :], COUNT), 1)
    has_softmax = tl.min(((x == x) & (x < float("inf"))).to(tl.int32), 1)
    return tl.where(has_softmax != 0, first, 0)


def block_shape(classes: int) -> dict[str, int]:
    """Return the constants of a kernel: the number of classes, and the block that a program reads."""
    columns = triton.next_power_of_2(classes)
    return {"CLASSES": classes, "ROWS": max(SCORES // columns, 1), "COLUMNS": columns}
