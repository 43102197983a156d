"""What tensors of other code bases look like: which row is background, which colour comes first, how anchors follow.

Ours: background is the last class and has neither box code nor mask; colours are red, green, blue; anchors of one
position go through the scales of the first ratio, then of the second; a box code is (dx, dy, dw, dh) per class.
Fully connected layers read a region as channels, rows, columns, here as in Caffe and everywhere below.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lineage.weights.sources.table import Layout

RATIOS = 3  # of every published RPN and RetinaNet; their scales follow from the number of channels


DENSE = 9  # anchors per position of RetinaNet


def _moved(rows: Tensor) -> Tensor:
    return torch.cat((rows[1:], rows[:1]))


def _moved_back(rows: Tensor) -> Tensor:
    return torch.cat((rows[-1:], rows[:-1]))


def _without(count: int) -> Layout:
    """Rows of background that are there but say nothing; zeros on the way back."""

    def there(rows: Tensor) -> Tensor:
        return torch.cat((rows.new_zeros(count, *rows.shape[1:]), rows))

    return Layout("background's own rows are left out (zeros when written back)", lambda rows: rows[count:], there)


BACKGROUND_FIRST = Layout("background is their first class, our last", _moved, _moved_back)
NO_BACKGROUND_CODES = _without(4)
NO_BACKGROUND_MASK = _without(1)
POINTWISE = Layout(
    "their layers over points are convolutions of one place",
    lambda weight: weight.flatten(1) if weight.dim() == 3 else weight,
    lambda weight: weight[..., None] if weight.dim() == 2 else weight,
)
BLUE_FIRST = Layout(
    "their first convolution reads blue, green, red", lambda weight: weight.flip(1), lambda weight: weight.flip(1)
)


def _anchors(rows: Tensor, per_anchor: int, outer: int) -> Tensor:
    """[A * per_anchor, ...] whose anchors are counted (outer, inner) -> counted (inner, outer)"""
    inner = len(rows) // per_anchor // outer
    split = rows.view(outer, inner, per_anchor, *rows.shape[1:])
    return split.transpose(0, 1).reshape(rows.shape)


def scales_first(per_anchor: int | None) -> Layout:
    """detectron2 counts anchors scale by scale, each with all ratios. None: one row per class of RetinaNet."""

    def rows_of(rows: Tensor) -> int:
        return per_anchor or len(rows) // DENSE

    def here(rows: Tensor) -> Tensor:
        return _anchors(rows, rows_of(rows), len(rows) // rows_of(rows) // RATIOS)

    def there(rows: Tensor) -> Tensor:
        return _anchors(rows, rows_of(rows), RATIOS)

    return Layout("their anchors go scale by scale, ours ratio by ratio", here, there)


def _margin(rows: Tensor) -> Tensor:
    """A softmax over two classes is the sigmoid of their difference."""
    background, object_ = rows.chunk(2)
    return object_ - background


TWO_CLASSES = Layout(
    "their proposals are scored by a softmax over two classes, ours by a sigmoid: the difference of the two",
    _margin,
    lambda rows: torch.cat((torch.zeros_like(rows), rows)),
)
