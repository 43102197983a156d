"""Cells: rows of tables at a tier with a seed, composed, with the digests of their training and their test."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from lineage.config import digests
from lineage.launch.compose_rows import ComposedRow, RowRequest, compose_rows
from lineage.tables import links
from lineage.tables.table import ParentRole, Row, Table

LoadTable = Callable[[str], Table]


class CellName(NamedTuple):
    table: str
    row: str
    tier: str
    seed: int

    def __str__(self) -> str:
        return f"{self.table}/{self.row} seed {self.seed}"


@dataclass(frozen=True)
class Cell:
    """One run of a table. Cells of equal `training_digest` and seed share a checkpoint, in whatever table they are."""

    name: CellName
    row: Row
    composed: ComposedRow
    training_digest: str = ""  # see config/digests.py; empty if it does not compose
    cell_digest: str = ""
    requested: bool = True  # by the user; else another cell needs it
    uses: Mapping[ParentRole, CellName] = field(default_factory=dict)  # whose weights, proposals, ...

    @property
    def must_succeed(self) -> bool:
        """Return whether an unfinished cell counts as a failure. Rows marked `unsupported` do not."""
        return self.requested and self.row.unsupported is None

    @property
    def folder(self) -> Path:
        """The run folder below paths.runs; a later attempt resumes there."""
        name = self.name
        return Path("cells", name.tier, name.table, name.row, f"seed-{name.seed}-{self.cell_digest[:8]}")

    def parent_digest(self, role: ParentRole, cells: Mapping[CellName, Cell]) -> str:
        """Return what identifies the parent's artifact: its training for weights; its test, too, for the others."""
        parent = cells[self.uses[role]]
        return parent.training_digest if role == ParentRole.START else parent.cell_digest


def build_cells(project: Path, load_table: LoadTable, names: Iterable[CellName]) -> dict[CellName, Cell]:
    """Return the cells of these names and all that they need, parents before children."""
    requested = _order(names, load_table)
    rows = {name: load_table(name.table).rows[name.row] for name in requested}
    requests = {name[:3]: RowRequest(name.table, rows[name], name.tier) for name in requested if rows[name].runs}
    composed = dict(zip(requests, compose_rows(project, requests.values()), strict=True))
    cells: dict[CellName, Cell] = {}
    for name, row in rows.items():
        not_run = ComposedRow({}, {}, "", "", row.unsupported or row.quoted)
        cells[name] = _build_cell(name, row, composed.get(name[:3], not_run), requested[name], cells)
    return cells


def _order(names: Iterable[CellName], load_table: LoadTable) -> dict[CellName, bool]:
    """Return all cells, parents before children, and whether each is requested."""
    ordered: dict[CellName, bool] = {}

    def visit(name: CellName, requested: bool) -> None:
        if name in ordered:
            ordered[name] |= requested
            return
        for parent in _uses(name, load_table(name.table).rows[name.row]).values():
            visit(parent, False)
        ordered[name] = requested

    for name in names:
        visit(name, True)
    return ordered


def _build_cell(
    name: CellName, row: Row, composed: ComposedRow, requested: bool, cells: Mapping[CellName, Cell]
) -> Cell:
    uses = _uses(name, row)
    parents = {role: cells[parent] for role, parent in uses.items()}
    error = composed.error or _check_labels(composed, parents)
    if error is not None:
        return Cell(name, row, replace(composed, error=error), requested=requested, uses=uses)
    training = _training_digest(composed, parents)
    proposals = parents[ParentRole.PROPOSALS].cell_digest if ParentRole.PROPOSALS in parents else None
    return Cell(name, row, composed, training, digests.cell_digest(composed.test, training, proposals), requested, uses)


def _uses(name: CellName, row: Row) -> dict[ParentRole, CellName]:
    parents = {role: links.parse_reference(name.table, reference) for role, reference in row.uses.items()}
    return {role: CellName(table, parent, name.tier, name.seed) for role, (table, parent) in parents.items()}


def _training_digest(composed: ComposedRow, parents: Mapping[ParentRole, Cell]) -> str:
    if ParentRole.EVALUATE in parents:
        return parents[ParentRole.EVALUATE].training_digest
    used: dict[str, str] = {
        role: parent.training_digest if role == ParentRole.START else parent.cell_digest
        for role, parent in parents.items()
    }
    return digests.with_parents(composed.training, used)


def _check_labels(composed: ComposedRow, parents: Mapping[ParentRole, Cell]) -> str | None:
    """Return an error if the model has a head that the labels of its teacher cannot train, else None."""
    teacher = parents.get(ParentRole.LABELS)
    if teacher is None or teacher.composed.error is not None:
        return None
    heads, of_teacher = (row.config.get("model", {}).get("heads") or {} for row in (composed, teacher.composed))
    lacking = [head for head in heads if head not in of_teacher]
    name = f"{teacher.name.table}/{teacher.name.row}"
    return f"its {lacking[0]} head needs labels that {name} cannot give: that model has none" if lacking else None
