"""What a table looks like filled in: one cell per row, metric and setting, each with its verdict."""

from __future__ import annotations

from dataclasses import dataclass

from lineage.tables.entry import Entry
from lineage.tables.judge import OFF_PROTOCOL, Setting, Verdict, judge_claim, samples
from lineage.tables.noise import Sample
from lineage.tables.table import Claim, Row, Table


@dataclass(frozen=True)
class Cell:
    metric: str
    published: float | None
    ours: Sample | None
    verdict: Verdict | None  # None where the paper gives no number

    @property
    def difference(self) -> float | None:
        """To the paper's number; only where the two are the same experiment."""
        return self.verdict.difference if self.verdict else None


@dataclass(frozen=True)
class Line:
    """One row of the table in one setting; without a setting, a row that has no finished run."""

    row: Row
    setting: Setting | None
    cells: dict[str, Cell]

    @property
    def runs(self) -> int:
        return max((cell.ours.n for cell in self.cells.values() if cell.ours), default=0)


def lines(table: Table, entries: list[Entry]) -> list[Line]:
    return [line for row in table.rows.values() for line in _of_row(row, table, entries)]


def _of_row(row: Row, table: Table, entries: list[Entry]) -> list[Line]:
    found = {metric: samples(entries, row.name, metric) for metric in table.metrics}
    settings = sorted({where for cells in found.values() for where in cells}, key=lambda at: (not at.on_protocol, at))
    verdicts = {metric: _verdict(row, metric, table, entries) for metric in table.metrics}
    shown: list[Setting | None] = [*settings] or [None]
    return [
        Line(
            row, where, {metric: _cell(row, metric, where, found[metric], verdicts[metric]) for metric in table.metrics}
        )
        for where in shown
    ]


def _cell(row: Row, metric: str, where: Setting | None, found: dict[Setting, Sample], verdict: Verdict | None) -> Cell:
    ours = found.get(where) if where else None
    if verdict and where and verdict.setting != where:
        verdict = Verdict(OFF_PROTOCOL, where, ours)
    return Cell(metric, row.published.get(metric), ours, verdict)


def _verdict(row: Row, metric: str, table: Table, entries: list[Entry]) -> Verdict | None:
    value = row.published.get(metric)
    return None if value is None else judge_claim(Claim(row.name, metric, value, table.tolerance), table, entries)
