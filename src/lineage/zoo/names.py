"""A table of names: how one code base calls and lays out what is ours, as data, readable in both directions.

A name is a stem and a leaf: `backbone.bottom_up.res2.0.conv1` + `.weight`. Stems are paired one by one, so a table can
be read, tested and inverted; leaves are few. What has another layout (background first, blue first) is named by its
stem with the function that changes it and the one that changes it back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import NamedTuple

from torch import Tensor


class Layout(NamedTuple):
    """A difference of layout, and what it is in words."""

    says: str
    here: Callable[[Tensor], Tensor]  # their tensor -> ours
    there: Callable[[Tensor], Tensor]  # ours -> theirs


TORCH_LEAVES = {
    leaf: leaf for leaf in (".weight", ".bias", ".running_mean", ".running_var", ".num_batches_tracked")
}


class Table:
    """One source. `ignored` are beginnings or ends of names that hold no weight of a model."""

    def __init__(
        self,
        source: str,
        stems: Iterable[tuple[str, str]],
        *,
        layouts: dict[str, Layout] | None = None,
        leaves: dict[str, str] | None = None,
        ignored: tuple[str, ...] = (),
        needs: tuple[str, ...] = (),
    ):
        self.source = source
        self.stems = tuple(stems)
        self.layouts = layouts or {}
        self.leaves = leaves or TORCH_LEAVES
        self.ignored = ignored
        self.needs = needs  # overrides under which our model computes what theirs did

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
        return any(name.startswith(part) or name.endswith(part) for part in self.ignored)

    def known(self, names: Iterable[str]) -> int:
        """How many of the names are in this table."""
        return sum(self.ours(name) is not None for name in names)

    def layout(self, ours: str) -> Layout | None:
        """What is different about the tensor that we call so."""
        return self.layouts.get(ours) or self.layouts.get(ours.rpartition(".")[0])


def translate(table: Table, state: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Their tensors under our names in our layout, and the names that the table does not know."""
    found: dict[str, Tensor] = {}
    unknown = []
    for name, value in state.items():
        ours = table.ours(name)
        if ours is None:
            unknown += [] if table.ignores(name) else [name]
            continue
        layout = table.layout(ours)
        found[ours] = layout.here(value) if layout else value
    return found, unknown


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
