"""The rows of tables as their files say them now, so that entries of earlier configs are recognized."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from lineage.launch.cells import CellName, build_cells
from lineage.tables import read
from lineage.tables.current import CurrentCell, FindCurrent, RowAtTier
from lineage.tables.table import Table
from lineage.tables.tiers import PAPER, load_project_tiers


def make_finder(project: Path, experiments: Path) -> FindCurrent:
    """Return a function that composes rows of a table, from the cache where they are in it."""

    @cache
    def load_table(name: str) -> Table:
        return read.load_table(experiments, name)

    def find_current(table: Table, rows: Iterable[RowAtTier]) -> Mapping[RowAtTier, CurrentCell]:
        tiers = {PAPER, table.tier, *load_project_tiers(project)}
        names = {row: CellName(table.name, *row, 0) for row in rows if row.tier in tiers}
        cells = build_cells(project, load_table, names.values())
        current = {row: cells[name] for row, name in names.items()}
        return {
            row: CurrentCell(cell.cell_digest, cell.composed.config, cell.composed.error)
            for row, cell in current.items()
        }

    return find_current
