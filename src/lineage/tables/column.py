"""One metric of a table in one setting: the sample of each row, its verdict, and how the rows compare."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lineage.results.entry import Entry
from lineage.tables import costs, verdicts
from lineage.tables.numbers import EMPTY, count_decimals, find_unit
from lineage.tables.samples import Setting
from lineage.tables.statistics.pooled_noise import TableNoise
from lineage.tables.statistics.seed_noise import SeedSample
from lineage.tables.statistics.sequential import PLANNED, compute_share, list_looks
from lineage.tables.statistics.significance import Comparison, adjust_holm, compare, find_levels
from lineage.tables.statistics.student_t import ALPHA
from lineage.tables.table import COST, COSTS, Row, Table
from lineage.tables.table_noise import SampleTable
from lineage.tables.verdicts import Judgement, Verdict

UNSUPPORTED, QUOTED, STOPPED = "unsupported", "quoted", "stopped"  # beside the verdicts

RowSamples = dict[str, dict[Setting, SeedSample]]  # row -> its values, by setting


@dataclass(frozen=True)
class Column:
    table: Table
    metric: str
    setting: Setting | None  # None: nothing has run
    samples: dict[str, SeedSample]  # by row
    verdicts: dict[str, str]  # by row: the word of a verdict or what stands in its place; costs have none
    noise: TableNoise  # of costs it is not known

    @property
    def decimals(self) -> int:
        """The decimals that the paper prints, those that the metric needs at least, and 3 at most."""
        published = [row.published.get(self.metric) for row in self.table.rows.values()]
        decimals = [len(f"{value:.10g}".partition(".")[2]) for value in published if value is not None]
        return min(3, max([count_decimals(self.metric), *decimals]))

    @property
    def sign(self) -> int:
        """1 if a higher value is better, else -1."""
        return -1 if self.metric in self.table.lower or self.metric in costs.TITLES else 1

    @property
    def cost(self) -> bool:
        return self.metric.startswith(COST)

    @property
    def name(self) -> str:
        """The title that the paper gives it."""
        return self.table.metrics.get(self.metric) or costs.TITLES[self.metric]

    def title(self) -> str:
        """Return the paper's title with our name of the metric, its unit and its direction."""
        unit = COSTS.get(self.metric, "") if self.cost else find_unit(self.metric)
        better = "lower" if self.sign < 0 else "higher"
        metric = f"{self.metric}, {unit}" if unit else self.metric
        return f"{self.name} ({metric}, {better} is better)"

    def best(self) -> str | None:
        """Return the row that is significantly better than each other row, or None."""
        ranked = sorted(self.samples, key=lambda row: -self.sign * self.samples[row].mean)
        if len(ranked) < 2:
            return None
        comparisons = [self._compare(ranked[0], row) for row in ranked[1:]]
        significant = [
            comparison is not None and comparison.p_different() / self._share(comparison) <= ALPHA
            for comparison in comparisons
        ]
        return ranked[0] if all(significant) else None

    def _share(self, comparison: Comparison, count: int = 1) -> float:
        """Return the part of the level that is left for this reading, of `count` tests."""
        return compute_share(list_looks(comparison.n)[-1], ALPHA / (2 * count), self.table.seeds or PLANNED)

    def _compare(self, a: str, b: str) -> Comparison | None:
        return compare(self.samples[a], self.samples[b], self.noise, (a, b))

    def difference(self, row: Row) -> float | None:
        """Return ours minus the paper's number, or None if the two are not the same experiment."""
        sample, published = self.samples.get(row.name), row.published.get(self.metric)
        if sample is None or published is None or self.setting is None or not self.setting.on_protocol:
            return None
        return sample.mean - published

    def deltas(self) -> dict[str, Delta]:
        """Return each row minus the baseline row, corrected for the number of rows (Holm) and of readings."""
        baseline = self.table.baseline or ""
        base = self.samples.get(baseline)
        if base is None:
            return {}
        others = {row: sample for row, sample in self.samples.items() if row != baseline}
        deltas = {row: Delta(sample.mean - base.mean, same=sample.repeats(base)) for row, sample in others.items()}
        compared = {row: self._compare(row, baseline) for row in others if not deltas[row].same}
        comparisons = {row: comparison for row, comparison in compared.items() if comparison is not None}
        p_values = [
            min(1.0, comparison.p_different() / self._share(comparison, len(comparisons)))
            for comparison in comparisons.values()
        ]
        corrected = zip(comparisons.items(), adjust_holm(p_values), find_levels(p_values), strict=True)
        for (row, comparison), p, level in corrected:
            margin = comparison.margin(level * self._share(comparison, len(comparisons)))
            deltas[row] = Delta(comparison.difference, margin, p)
        return deltas


@dataclass(frozen=True)
class Delta:
    """A row minus the baseline; margin and p are None if the noise is unknown."""

    difference: float
    margin: float | None = None  # half the interval at the level at which p was tested
    p: float | None = None
    same: bool = False  # the row is the baseline's experiment once more

    def format(self, decimals: int) -> str:
        if self.same:
            return verdicts.SAME_RUN
        difference = f"{round(self.difference, decimals) + 0.0:+.{decimals}f}"
        if self.margin is None or self.p is None:
            return difference
        return f"{difference} ± {self.margin:.{decimals}f}" + ("*" if self.p <= ALPHA else "")


def build_columns(table: Table, entries: list[Entry], judgement: Judgement) -> list[Column]:
    """Return a column per metric and setting, the paper's own setting first."""
    samples = {metric: _collect(table, metric, judgement.samples) for metric in [*table.metrics, *costs.TITLES]}
    settings = {setting for rows in samples.values() for by_setting in rows.values() for setting in by_setting}
    ordered = sorted(settings, key=lambda setting: (not setting.on_protocol, setting))
    shown: list[Setting | None] = [*ordered] or [None]
    return [column for setting in shown for column in _columns_of_setting(table, setting, samples, judgement, entries)]


def _columns_of_setting(
    table: Table,
    setting: Setting | None,
    samples: dict[str, RowSamples],
    judgement: Judgement,
    entries: list[Entry],
) -> Iterator[Column]:
    of_tier = [entry for entry in entries if setting is None or entry.tier == setting.tier]
    status = {row.name: _row_status(row, of_tier) for row in table.rows.values()}
    judged = {
        (claim.row, claim.metric): verdict for claim, verdict in zip(table.claims, judgement.numbers, strict=True)
    }
    for metric, rows in samples.items():
        ran = {name: cells[setting] for name, cells in rows.items() if setting is not None and setting in cells}
        if metric not in table.metrics and not ran:
            continue
        if metric.startswith(COST) or setting is None:
            noise = TableNoise(None)
        else:
            noise = judgement.samples.noise(metric, setting)
        words = {} if metric.startswith(COST) else {
            name: _choose_word(name in ran, setting, judged.get((name, metric)), status[name]) for name in table.rows
        }  # fmt: skip
        yield Column(table, metric, setting, ran, words, noise)


def _collect(table: Table, metric: str, samples: SampleTable) -> RowSamples:
    if metric.startswith(COST):
        return {name: costs.collect_costs(samples.runs.get(name, {}), metric) for name in table.rows}
    return {name: samples.find(name, metric) for name in table.rows}


def _choose_word(ran: bool, setting: Setting | None, verdict: Verdict | None, status: str) -> str:
    if not ran and status:
        return status
    if verdict is None:
        return EMPTY
    if not ran:
        return verdicts.MISSING
    if verdict.setting == setting:
        return verdict.word
    return verdicts.NO_VERDICT if setting is not None and setting.tier == verdicts.SMOKE else verdicts.OFF_PROTOCOL


def _row_status(row: Row, entries: list[Entry]) -> str:
    """Return why a row has no number, or "" if it is simply missing."""
    if row.unsupported is not None:
        return UNSUPPORTED
    if row.quoted is not None:
        return QUOTED
    states = {entry.status for entry in entries if entry.row == row.name}
    return verdicts.FAILED if "failed" in states else STOPPED if states == {"stopped"} else ""
