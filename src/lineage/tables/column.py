"""One metric of a table in one setting: the sample of each row, its verdict, and how the rows compare."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lineage.results.entry import Entry
from lineage.tables import costs, verdicts
from lineage.tables.numbers import EMPTY
from lineage.tables.samples import RowName, Runs, Setting, collect_samples, group_finished
from lineage.tables.statistics.seed_noise import SeedSample
from lineage.tables.statistics.significance import adjust_holm, compare
from lineage.tables.statistics.student_t import ALPHA
from lineage.tables.table import COST, COSTS, Row, Table
from lineage.tables.tiers import PAPER
from lineage.tables.verdicts import Verdict

UNSUPPORTED, QUOTED, STOPPED = "unsupported", "quoted", "stopped"  # beside the verdicts

RowSamples = dict[str, dict[Setting, SeedSample]]  # row -> its values, by setting


@dataclass(frozen=True)
class Column:
    table: Table
    metric: str
    setting: Setting | None  # None: nothing has run
    samples: dict[str, SeedSample]  # by row
    verdicts: dict[str, str]  # by row: the word of a verdict or what stands in its place; costs have none

    @property
    def decimals(self) -> int:
        """The decimals that the paper prints, 1 to 3."""
        published = [row.published.get(self.metric) for row in self.table.rows.values()]
        decimals = [len(f"{value:.10g}".partition(".")[2]) for value in published if value is not None]
        return min(3, max([1, *decimals]))

    @property
    def sign(self) -> int:
        """1 if a higher value is better, else -1."""
        return -1 if self.metric in self.table.lower or self.metric in costs.TITLES else 1

    @property
    def noise(self) -> str:
        """The dataset whose published seed noise applies; "" at a smaller tier, for which none is published."""
        return self.table.dataset if self.setting and self.setting.tier == PAPER else ""

    @property
    def cost(self) -> bool:
        return self.metric.startswith(COST)

    @property
    def name(self) -> str:
        """The title that the paper gives it."""
        return self.table.metrics.get(self.metric) or costs.TITLES[self.metric]

    def title(self) -> str:
        """Return the paper's title with our name of the metric, its unit and its direction."""
        unit = COSTS.get(self.metric, "") if self.cost else "%"
        better = "lower" if self.sign < 0 else "higher"
        metric = f"{self.metric}, {unit}" if unit else self.metric
        return f"{self.name} ({metric}, {better} is better)"

    def best(self) -> str | None:
        """Return the row that is significantly better than each other row, or None."""
        ranked = sorted(self.samples, key=lambda row: -self.sign * self.samples[row].mean)
        if len(ranked) < 2:
            return None
        comparisons = [compare(self.samples[ranked[0]], self.samples[row], self.noise) for row in ranked[1:]]
        significant = [one is not None and one.p_different() <= ALPHA for one in comparisons]
        return ranked[0] if all(significant) else None

    def difference(self, row: Row) -> float | None:
        """Return ours minus the paper's number, or None if the two are not the same experiment."""
        sample, published = self.samples.get(row.name), row.published.get(self.metric)
        if sample is None or published is None or self.setting is None or not self.setting.on_protocol:
            return None
        return sample.mean - published

    def deltas(self) -> dict[str, Delta]:
        """Return each row minus the baseline row, p corrected for the number of rows (Holm)."""
        base = self.samples.get(self.table.baseline or "")
        if base is None:
            return {}
        others = {row: sample for row, sample in self.samples.items() if row != self.table.baseline}
        deltas = {row: Delta(sample.mean - base.mean, same=sample.repeats(base)) for row, sample in others.items()}
        compared = {row: compare(sample, base, self.noise) for row, sample in others.items() if not deltas[row].same}
        comparisons = {row: comparison for row, comparison in compared.items() if comparison is not None}
        p_values = adjust_holm([comparison.p_different() for comparison in comparisons.values()])
        for (row, comparison), p in zip(comparisons.items(), p_values, strict=True):
            deltas[row] = Delta(comparison.difference, comparison.margin(), p)
        return deltas


@dataclass(frozen=True)
class Delta:
    """A row minus the baseline; margin and p are None if the noise is unknown."""

    difference: float
    margin: float | None = None  # half the 95 % interval
    p: float | None = None
    same: bool = False  # the row is the baseline's experiment once more

    def format(self, decimals: int) -> str:
        if self.same:
            return verdicts.SAME_RUN
        difference = f"{round(self.difference, decimals) + 0.0:+.{decimals}f}"
        if self.margin is None or self.p is None:
            return difference
        return f"{difference} ± {self.margin:.{decimals}f}" + ("*" if self.p <= ALPHA else "")


def build_columns(table: Table, entries: list[Entry]) -> list[Column]:
    """Return a column per metric and setting, the paper's own setting first."""
    runs = group_finished(entries)
    samples = {metric: _collect(table, metric, runs) for metric in dict.fromkeys([*table.metrics, *costs.TITLES])}
    settings = {setting for rows in samples.values() for by_setting in rows.values() for setting in by_setting}
    ordered = sorted(settings, key=lambda setting: (not setting.on_protocol, setting))
    judged = dict(zip(((claim.row, claim.metric) for claim in table.claims), verdicts.judge_claims(table, entries),
                      strict=True))  # fmt: skip
    shown: list[Setting | None] = [*ordered] or [None]
    return [column for setting in shown for column in _columns_of_setting(table, setting, samples, judged, entries)]


def _columns_of_setting(
    table: Table,
    setting: Setting | None,
    samples: dict[str, RowSamples],
    judged: dict[tuple[str, str], Verdict],
    entries: list[Entry],
) -> Iterator[Column]:
    of_tier = [entry for entry in entries if setting is None or entry.tier == setting.tier]
    status = {row.name: _row_status(row, of_tier) for row in table.rows.values()}
    for metric, rows in samples.items():
        ran = {name: cells[setting] for name, cells in rows.items() if setting is not None and setting in cells}
        if metric not in table.metrics and not ran:
            continue
        words = {} if metric.startswith(COST) else {
            name: _choose_word(name in ran, setting, judged.get((name, metric)), status[name]) for name in table.rows
        }  # fmt: skip
        yield Column(table, metric, setting, ran, words)


def _collect(table: Table, metric: str, runs: Mapping[RowName, Runs]) -> RowSamples:
    collect = costs.collect_costs if metric.startswith(COST) else collect_samples
    return {name: collect(runs.get(name, {}), metric) for name in table.rows}


def _choose_word(ran: bool, setting: Setting | None, verdict: Verdict | None, status: str) -> str:
    if not ran and status:
        return status
    if verdict is None:
        return EMPTY
    if not ran:
        return verdicts.MISSING
    return verdict.word if verdict.setting == setting else verdicts.OFF_PROTOCOL


def _row_status(row: Row, entries: list[Entry]) -> str:
    """Return why a row has no number, or "" if it is simply missing."""
    if row.unsupported is not None:
        return UNSUPPORTED
    if row.quoted is not None:
        return QUOTED
    states = {entry.status for entry in entries if entry.row == row.name}
    return verdicts.FAILED if "failed" in states else STOPPED if states == {"stopped"} else ""
