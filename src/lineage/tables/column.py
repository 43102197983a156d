"""One metric of a table in one setting: what each row measured, the word for it, and how the rows compare."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lineage.results.entry import Entry
from lineage.tables import costs
from lineage.tables import verdicts as judge
from lineage.tables.statistics.seed_noise import Sample
from lineage.tables.statistics.student_t import ALPHA
from lineage.tables.statistics.tests import compare, holm
from lineage.tables.table import COST, COSTS, Row, Table
from lineage.tables.tiers import PAPER
from lineage.tables.verdicts import Setting, Verdict

EMPTY = "-"
UNSUPPORTED, QUOTED, STOPPED = "unsupported", "quoted", "stopped"  # beside the verdicts

Found = dict[str, dict[Setting, Sample]]  # row -> what it measured, by setting


@dataclass(frozen=True)
class Column:
    table: Table
    metric: str
    where: Setting | None  # None: nothing has run
    ours: dict[str, Sample]
    words: dict[str, str]  # of each row; costs have none

    @property
    def decimals(self) -> int:
        """As the paper prints them, at least one."""
        told = [row.published.get(self.metric) for row in self.table.rows.values()]
        shown = [len(f"{value:.10g}".partition(".")[2]) for value in told if value is not None]
        return min(3, max([1, *shown]))

    @property
    def sign(self) -> int:
        return -1 if self.metric in self.table.lower or self.metric in costs.TITLES else 1

    @property
    def noise(self) -> str:
        """The dataset whose published seed noise may be used; at a smaller tier nobody knows it."""
        return self.table.dataset if self.where and self.where.tier == PAPER else ""

    @property
    def cost(self) -> bool:
        return self.metric.startswith(COST)

    @property
    def name(self) -> str:
        """The title that the paper gives it."""
        return self.table.metrics.get(self.metric) or costs.TITLES[self.metric]

    def title(self) -> str:
        """With what the machine calls it."""
        unit = COSTS.get(self.metric, "") if self.cost else "%"
        better = "lower" if self.sign < 0 else "higher"
        told = f"{self.metric}, {unit}" if unit else self.metric
        return f"{self.name} ({told}, {better} is better)"

    def best(self) -> str | None:
        """The row that is better than each other one beyond chance; None where no row is."""
        ranked = sorted(self.ours, key=lambda row: -self.sign * self.ours[row].mean)
        if len(ranked) < 2:
            return None
        against = [compare(self.ours[ranked[0]], self.ours[row], self.noise) for row in ranked[1:]]
        surely = [one is not None and one.differs() <= ALPHA for one in against]
        return ranked[0] if all(surely) else None

    def difference(self, row: Row) -> float | None:
        """To the paper's number, only where both are the same experiment."""
        ours, published = self.ours.get(row.name), row.published.get(self.metric)
        if ours is None or published is None or self.where is None or not self.where.on_protocol:
            return None
        return ours.mean - published

    def against(self) -> dict[str, Delta]:
        """Each row minus the baseline row, p corrected for the number of rows (Holm)."""
        base = self.ours.get(self.table.baseline or "")
        if base is None:
            return {}
        others = {row: ours for row, ours in self.ours.items() if row != self.table.baseline}
        told = {row: Delta(ours.mean - base.mean, same=ours.repeats(base)) for row, ours in others.items()}
        found = {row: compare(ours, base, self.noise) for row, ours in others.items() if not told[row].same}
        known = {row: one for row, one in found.items() if one is not None}
        corrected = holm([one.differs() for one in known.values()])
        for (row, one), p in zip(known.items(), corrected, strict=True):
            told[row] = Delta(one.difference, one.margin(), p)
        return told


@dataclass(frozen=True)
class Delta:
    """A row minus the baseline; margin and p are None where nobody knows the noise."""

    difference: float
    margin: float | None = None  # half the 95 % interval
    p: float | None = None
    same: bool = False  # the row is the baseline's experiment once more

    def told(self, decimals: int) -> str:
        if self.same:
            return judge.SAME_RUN
        shown = f"{round(self.difference, decimals) + 0.0:+.{decimals}f}"
        if self.margin is None or self.p is None:
            return shown
        return f"{shown} ± {self.margin:.{decimals}f}" + ("*" if self.p <= ALPHA else "")


def columns(table: Table, held: list[Entry]) -> list[Column]:
    """Each metric in each setting, the paper's own setting first, with the word for each row."""
    metrics = list(dict.fromkeys([*table.metrics, *costs.TITLES]))
    runs = judge.finished(held)
    found = {metric: _found(table, metric, runs) for metric in metrics}
    settings = {where for rows in found.values() for cells in rows.values() for where in cells}
    ordered = sorted(settings, key=lambda at: (not at.on_protocol, at))
    judged = judge.judge_claims(table, held)
    verdicts = {(claim.row, claim.metric): verdict for claim, verdict in zip(table.claims, judged, strict=True)}
    shown: list[Setting | None] = [*ordered] or [None]
    return [column for where in shown for column in _in_setting(table, where, found, verdicts, held)]


def _in_setting(
    table: Table,
    where: Setting | None,
    found: dict[str, Found],
    verdicts: dict[tuple[str, str], Verdict],
    held: list[Entry],
) -> Iterator[Column]:
    there = [entry for entry in held if where is None or entry.tier == where.tier]
    status = {row.name: _status(row, there) for row in table.rows.values()}
    for metric, rows in found.items():
        ours = {name: cells[where] for name, cells in rows.items() if where is not None and where in cells}
        if metric not in table.metrics and not ours:
            continue
        words = {} if metric.startswith(COST) else {
            name: _word(name in ours, where, verdicts.get((name, metric)), status[name]) for name in table.rows
        }  # fmt: skip
        yield Column(table, metric, where, ours, words)


def _found(table: Table, metric: str, runs: Mapping[str | None, Mapping[Setting, list[Entry]]]) -> Found:
    of = costs.samples if metric.startswith(COST) else judge.samples
    return {name: of(runs.get(name, {}), metric) for name in table.rows}


def _word(ran: bool, where: Setting | None, verdict: Verdict | None, status: str) -> str:
    if not ran and status:
        return status
    if verdict is None:
        return EMPTY
    if not ran:
        return judge.MISSING
    return verdict.word if verdict.setting == where else judge.OFF_PROTOCOL


def _status(row: Row, entries: list[Entry]) -> str:
    """Why a row has no number, where there is a better word than missing."""
    if row.unsupported is not None:
        return UNSUPPORTED
    if row.quoted is not None:
        return QUOTED
    states = {entry.status for entry in entries if entry.row == row.name}
    return judge.FAILED if "failed" in states else STOPPED if states == {"stopped"} else ""
