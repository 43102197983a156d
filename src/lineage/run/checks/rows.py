"""Check the rows of a table as a run checks its config: the values of keywords, which the linter cannot read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from lineage.config.build import ConfigError
from lineage.launch.compose_rows import ComposedRow, RowRequest, compose_rows
from lineage.run.checks.values import check_values
from lineage.tables.lint.rules import Finding
from lineage.tables.table import Table
from lineage.tables.tiers import PAPER

OF_DATASET = {"classes": 1, "stuff": 2}  # keys that a run reads from its dataset, with a value that they may have


def find_wrong_rows(project: Path, table: Table, tier: str) -> Iterator[Finding]:
    """Yield T15 for each row that composes at a tier and has a value of another type than its keyword."""
    rows = [row for row in table.rows.values() if row.runs]
    tier = table.tier if tier == PAPER else tier
    composed = compose_rows(project, [RowRequest(table.name, row, tier) for row in rows])
    for row, composed_row in zip(rows, composed, strict=True):
        if composed_row.error is None and (message := _explain(composed_row)):
            yield Finding("T15", message, row.name)


def _explain(row: ComposedRow) -> str | None:
    """Return the message that a run of this row would end with, or None."""
    try:
        check_values(_fill_dataset(OmegaConf.create(row.written)))
    except ConfigError as error:
        return str(error)
    return None


def _fill_dataset(config: DictConfig) -> DictConfig:
    """Set what a run reads from its dataset, so that keywords which follow it have a value."""
    for name, value in OF_DATASET.items():
        if name in config.dataset and config.dataset[name] is None:
            config.dataset[name] = value
    return config
