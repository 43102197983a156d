"""Tensor layouts of other code bases: which row is background, which colour comes first, in which order anchors follow.

Ours: background is the last class and has neither box deltas nor a mask; colours are red, green, blue; anchors of one
position go through the scales of the first ratio, then of the second; box deltas are (dx, dy, dw, dh) per class.
Fully connected layers read a region as channels, rows, columns, here as in Caffe and all later code.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lineage.weights.sources.table import Layout

RATIOS = 3  # of every published RPN and RetinaNet; their scales follow from the number of channels


RETINANET_ANCHORS = 9  # per position


def _move_first_to_end(rows: Tensor) -> Tensor:
    return torch.cat((rows[1:], rows[:1]))


def _move_last_to_front(rows: Tensor) -> Tensor:
    return torch.cat((rows[-1:], rows[:-1]))


def _drop_background(count: int) -> Layout:
    """Return a layout with `count` unused background rows: dropped on import, filled with zeros on export."""

    def to_theirs(rows: Tensor) -> Tensor:
        return torch.cat((rows.new_zeros(count, *rows.shape[1:]), rows))

    return Layout("background's own rows are left out (zeros when written back)", lambda rows: rows[count:], to_theirs)


BACKGROUND_FIRST = Layout("background is their first class, our last", _move_first_to_end, _move_last_to_front)
NO_BACKGROUND_DELTAS = _drop_background(4)
NO_BACKGROUND_MASK = _drop_background(1)
POINTWISE = Layout(
    "their layers over points are 1-d convolutions of kernel 1",
    lambda weight: weight.flatten(1) if weight.dim() == 3 else weight,
    lambda weight: weight[..., None] if weight.dim() == 2 else weight,
)
BLUE_FIRST = Layout(
    "their first convolution reads blue, green, red", lambda weight: weight.flip(1), lambda weight: weight.flip(1)
)


def _swap_anchor_order(rows: Tensor, per_anchor: int, outer: int) -> Tensor:
    """[A * per_anchor, ...] with anchors in the order (outer, inner) -> in the order (inner, outer)"""
    inner = len(rows) // per_anchor // outer
    split = rows.view(outer, inner, per_anchor, *rows.shape[1:])
    return split.transpose(0, 1).reshape(rows.shape)


def scales_first(per_anchor: int | None) -> Layout:
    """Return the layout of detectron2's anchors: scale by scale, each with all ratios.

    per_anchor: rows of an anchor; None: one row per class of RetinaNet.
    """

    def count_rows(rows: Tensor) -> int:
        return per_anchor or len(rows) // RETINANET_ANCHORS

    def to_ours(rows: Tensor) -> Tensor:
        return _swap_anchor_order(rows, count_rows(rows), len(rows) // count_rows(rows) // RATIOS)

    def to_theirs(rows: Tensor) -> Tensor:
        return _swap_anchor_order(rows, count_rows(rows), RATIOS)

    return Layout("their anchors go scale by scale, ours ratio by ratio", to_ours, to_theirs)


def _subtract_background(rows: Tensor) -> Tensor:
    """Convert the logits of a softmax over two classes to that of a sigmoid: their difference."""
    background, foreground = rows.chunk(2)
    return foreground - background


TWO_CLASSES = Layout(
    "their proposals are scored by a softmax over two classes, ours by a sigmoid: the difference of the two",
    _subtract_background,
    lambda rows: torch.cat((torch.zeros_like(rows), rows)),
)
