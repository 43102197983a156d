"""A table of names: what one code base calls, and how it lays out, the tensors of our models; readable both ways.

A name is a stem and a leaf: `backbone.bottom_up.res2.0.conv1` + `.weight`. Stems are paired one by one, so a table can
be read, tested and inverted; leaves are few. A tensor with another layout (background first, blue first) is listed by
its stem, with the functions that convert it in either direction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property

import torch
from torch import Tensor

EPS = 1e-5  # of every batch norm here

StateDict = dict[str, Tensor]
Stems = tuple[tuple[str, str], ...]  # pairs of (their stem, our stem)


@dataclass(frozen=True, slots=True)
class PixelNormalization:
    """Mean and deviation of the pixels that a network was trained on: red, green, blue in 0..255."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @classmethod
    def of(cls, mean: Sequence[float], std: Sequence[float]) -> PixelNormalization:
        """Build one from sequences of three numbers."""
        return cls((mean[0], mean[1], mean[2]), (std[0], std[1], std[2]))


IMAGENET = PixelNormalization((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
UNSCALED = PixelNormalization((123.675, 116.28, 103.53), (1.0, 1.0, 1.0))  # detectron2 with the ResNets of MSRA
CAFFE = PixelNormalization((122.7717, 115.9465, 102.9801), (1.0, 1.0, 1.0))  # Fast R-CNN to Detectron


@dataclass(frozen=True, slots=True)
class SourceConventions:
    """Conventions of a source that tensors do not show; with others the same tensors are wrong without an error."""

    pixels: PixelNormalization
    settings: tuple[str, ...] = ()  # overrides under which our model computes as theirs
    alternative: str = ""  # overrides of the source's other networks, if equal tensors do not show which it is


TORCHVISION_CONVENTIONS = SourceConventions(IMAGENET)


@dataclass(frozen=True, slots=True)
class Layout:
    """A difference of layout between their tensor and ours."""

    description: str
    to_ours: Callable[[Tensor], Tensor]
    to_theirs: Callable[[Tensor], Tensor]


TORCH_LEAVES = {leaf: leaf for leaf in (".weight", ".bias", ".running_mean", ".running_var", ".num_batches_tracked")}


class NameTable:
    """The names of one source.

    stems: pairs of (their stem, our stem); of equal stems the first counts.
    layouts: our stem or name -> difference of layout.
    leaves: their leaf -> ours; torch's by default.
    ignored: patterns of names that are no weight of a model.
    grouped: conventions of ResNeXts, if they differ.
    group_normed: conventions of bodies with group norm, if they differ.
    adapt_conventions: (conventions, their tensors) -> the conventions that the file itself states.
    folded: leaf of a batch norm whose statistics are multiplied into its scale and shift.
    """

    def __init__(
        self,
        source: str,
        stems: Iterable[tuple[str, str]],
        *,
        layouts: dict[str, Layout] | None = None,
        leaves: dict[str, str] | None = None,
        ignored: tuple[str, ...] = (),
        conventions: SourceConventions = TORCHVISION_CONVENTIONS,
        grouped: SourceConventions | None = None,
        group_normed: SourceConventions | None = None,
        adapt_conventions: Callable[[SourceConventions, StateDict], SourceConventions] | None = None,
        folded: str = "",
    ):
        self.source = source
        self.stems = tuple(stems)
        self.layouts = layouts or {}
        self.leaves = leaves or TORCH_LEAVES
        self.ignored = ignored
        self.conventions = conventions
        self.grouped = grouped or conventions
        self.group_normed = group_normed or conventions
        self.adapt_conventions = adapt_conventions
        self.folded = folded

    @cached_property
    def _our_stems(self) -> dict[str, str]:
        return {theirs: ours for theirs, ours in reversed(self.stems)}  # the first of equals counts

    @cached_property
    def _their_stems(self) -> dict[str, str]:
        return {ours: theirs for theirs, ours in reversed(self.stems)}

    def our_name(self, name: str) -> str | None:
        """Translate one of their names. None: it is not in the table."""
        for theirs, ours in self.leaves.items():
            if name.endswith(theirs) and (stem := self._our_stems.get(name.removesuffix(theirs))) is not None:
                return stem + ours
        return None

    def their_name(self, name: str) -> str | None:
        """Translate one of our names. None: they have no such tensor."""
        stem, _, leaf = name.rpartition(".")
        their_leaves = {ours: theirs for theirs, ours in reversed(self.leaves.items())}
        their_stem = self._their_stems.get(stem)
        return None if their_stem is None or f".{leaf}" not in their_leaves else their_stem + their_leaves[f".{leaf}"]

    def ignores(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self.ignored)

    def count_matches(self, names: Iterable[str]) -> int:
        """Count the names that are in this table."""
        return sum(self.ignores(name) or self.our_name(name) is not None for name in names)

    def layout(self, our_name: str) -> Layout | None:
        """Return the difference of layout of a tensor, by our name of it."""
        return self.layouts.get(our_name) or self.layouts.get(our_name.rpartition(".")[0])


def to_ours(table: NameTable, state: StateDict) -> tuple[StateDict, list[str]]:
    """Convert their tensors to our names and layout. Also return the names that are not in the table."""
    converted: StateDict = {}
    unknown = []
    for name, value in state.items():
        if table.ignores(name):
            continue
        our_name = table.our_name(name)
        if our_name is None:
            unknown.append(name)
            continue
        layout = table.layout(our_name)
        converted[our_name] = layout.to_ours(value) if layout else value
    return (_add_statistics(table, state) | converted if table.folded else converted), unknown


def _add_statistics(table: NameTable, state: StateDict) -> StateDict:
    """Return statistics for every folded norm; a file that has some of its own keeps those."""
    statistics: StateDict = {}
    for name, value in state.items():
        if name.endswith(table.folded) and (our_name := table.our_name(name)) is not None:
            statistics |= _identity_statistics(our_name.removesuffix(".weight"), value)
    return statistics


def _identity_statistics(stem: str, scale: Tensor) -> StateDict:
    """Return statistics with which a frozen batch norm multiplies by its scale alone: eps is added to the variance."""
    return {
        f"{stem}.running_mean": torch.zeros_like(scale),
        f"{stem}.running_var": torch.full_like(scale, 1 - EPS),
    }


def to_theirs(table: NameTable, state: StateDict) -> tuple[StateDict, list[str]]:
    """Convert our tensors to their names and layout. Also return our names for which they have no tensor."""
    converted: StateDict = {}
    unknown = []
    for name, value in state.items():
        their_name = table.their_name(name)
        if their_name is None:
            unknown.append(name)
            continue
        layout = table.layout(name)
        converted[their_name] = (layout.to_theirs(value) if layout else value).contiguous()
    return converted, unknown
