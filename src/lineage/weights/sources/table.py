"""A table of names: how one code base calls and lays out what is ours, as data, readable in both directions.

A name is a stem and a leaf: `backbone.bottom_up.res2.0.conv1` + `.weight`. Stems are paired one by one, so a table can
be read, tested and inverted; leaves are few. What has another layout (background first, blue first) is named by its
stem with the function that changes it and the one that changes it back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

EPS = 1e-5  # of every batch norm here


class Pixels(NamedTuple):
    """What a network was trained on: red, green, blue in 0..255, minus the mean, over the deviation."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


IMAGENET = Pixels((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
UNSCALED = Pixels((123.675, 116.28, 103.53), (1.0, 1.0, 1.0))  # detectron2 with the ResNets of MSRA
CAFFE = Pixels((122.7717, 115.9465, 102.9801), (1.0, 1.0, 1.0))  # Fast R-CNN to Detectron


class Maths(NamedTuple):
    """What weights cannot tell: the same tensors in a network that counts otherwise are wrong without an error."""

    pixels: Pixels
    settings: tuple[str, ...] = ()  # overrides under which our model counts as theirs


AS_TORCHVISION = Maths(IMAGENET)


class Layout(NamedTuple):
    """A difference of layout, and what it is in words."""

    says: str
    here: Callable[[Tensor], Tensor]  # their tensor -> ours
    there: Callable[[Tensor], Tensor]  # ours -> theirs


TORCH_LEAVES = {leaf: leaf for leaf in (".weight", ".bias", ".running_mean", ".running_var", ".num_batches_tracked")}


class Table:
    """One source. `ignored` are patterns of names that hold no weight of a model."""

    def __init__(
        self,
        source: str,
        stems: Iterable[tuple[str, str]],
        *,
        layouts: dict[str, Layout] | None = None,
        leaves: dict[str, str] | None = None,
        ignored: tuple[str, ...] = (),
        maths: Maths = AS_TORCHVISION,
        grouped: Maths | None = None,
        folded: str = "",
    ):
        self.source = source
        self.stems = tuple(stems)
        self.layouts = layouts or {}
        self.leaves = leaves or TORCH_LEAVES
        self.ignored = ignored
        self.maths = maths
        self.grouped = grouped or maths  # of ResNeXts, where these differ
        self.folded = folded  # the leaf of a batch norm whose statistics were multiplied into its scale and shift

    @cached_property
    def _here(self) -> dict[str, str]:
        return {theirs: ours for theirs, ours in reversed(self.stems)}  # the first of equals counts

    @cached_property
    def _there(self) -> dict[str, str]:
        return {ours: theirs for theirs, ours in reversed(self.stems)}

    def ours(self, name: str) -> str | None:
        """Our name of one of theirs; None if the table has none."""
        for leaf, own in self.leaves.items():
            if name.endswith(leaf) and (stem := self._here.get(name.removesuffix(leaf))) is not None:
                return stem + own
        return None

    def theirs(self, name: str) -> str | None:
        """Their name of one of ours; None if they have no such thing."""
        stem, _, leaf = name.rpartition(".")
        back = {own: leaf for leaf, own in reversed(self.leaves.items())}
        there = self._there.get(stem)
        return None if there is None or f".{leaf}" not in back else there + back[f".{leaf}"]

    def ignores(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self.ignored)

    def known(self, names: Iterable[str]) -> int:
        """How many of the names are in this table."""
        return sum(self.ignores(name) or self.ours(name) is not None for name in names)

    def layout(self, ours: str) -> Layout | None:
        """What is different about the tensor that we call so."""
        return self.layouts.get(ours) or self.layouts.get(ours.rpartition(".")[0])


def translate(table: Table, state: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Their tensors under our names in our layout, and the names that the table does not know."""
    found: dict[str, Tensor] = {}
    unknown = []
    for name, value in state.items():
        if table.ignores(name):
            continue
        ours = table.ours(name)
        if ours is None:
            unknown.append(name)
            continue
        layout = table.layout(ours)
        found[ours] = layout.here(value) if layout else value
        if table.folded and name.endswith(table.folded):
            found.update(_statistics(ours.removesuffix(".weight"), value))
    return found, unknown


def _statistics(stem: str, scale: Tensor) -> dict[str, Tensor]:
    """Those under which a frozen batch norm multiplies by its scale alone: eps is added to the variance."""
    return {
        f"{stem}.running_mean": torch.zeros_like(scale),
        f"{stem}.running_var": torch.full_like(scale, 1 - EPS),
    }


def back(table: Table, state: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Our tensors under their names in their layout, and our names that they have no place for."""
    found: dict[str, Tensor] = {}
    unknown = []
    for name, value in state.items():
        theirs = table.theirs(name)
        if theirs is None:
            unknown.append(name)
            continue
        layout = table.layout(name)
        found[theirs] = (layout.there(value) if layout else value).contiguous()
    return found, unknown
