"""A judged table in words, before any format: sections of rows, one section per metric and setting.

Every format shows the same strings, so a number reads the same in a terminal, in a paper and on a page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from lineage.tables import costs, judge
from lineage.tables.compare import compare, holm
from lineage.tables.entry import Entry
from lineage.tables.judge import Setting, Verdict
from lineage.tables.noise import Sample
from lineage.tables.student import ALPHA
from lineage.tables.table import COST, COSTS, Effect, Row, Table
from lineage.tables.tiers import PAPER

EMPTY = "-"
UNSUPPORTED, QUOTED, STOPPED = "unsupported", "quoted", "stopped"  # beside the verdicts
HEAD = ("row", "ours", "n", "published", "difference", "verdict", "vs baseline")
COST_HEAD = ("row", "ours", "n", "published")
CLAIM_HEAD = ("claim", "metric", "ours", "published", "verdict", "n", "what is missing")


@dataclass(frozen=True)
class Text:
    """One cell as printed."""

    text: str
    bold: bool = False
    verdict: bool = False  # the text begins with the word of a verdict
    number: bool = False


@dataclass(frozen=True)
class Section:
    title: str
    head: tuple[str, ...]
    body: list[tuple[Text, ...]]


@dataclass(frozen=True)
class Block:
    """Everything measured in one setting; `title` names its tier."""

    title: str
    sections: list[Section]


@dataclass(frozen=True)
class Sheet:
    name: str
    title: str
    message: str
    blocks: list[Block]
    notes: list[str]  # failed and stopped runs, unsupported rows, what stars and bold mean
    source: str


@dataclass(frozen=True)
class Column:
    """One metric in one setting: what each row measured."""

    table: Table
    metric: str
    where: Setting | None
    ours: dict[str, Sample]

    @property
    def decimals(self) -> int:
        """As the paper prints them, at least one."""
        told = [row.published.get(self.metric) for row in self.table.rows.values()]
        shown = [len(f"{value:.10g}".partition(".")[2]) for value in told if value is not None]
        return min(3, max([1, *shown]))

    @property
    def sign(self) -> int:
        return -1 if self.metric in self.table.lower else 1

    @property
    def noise(self) -> str:
        """The dataset whose published seed noise may be used; at a smaller tier nobody knows it."""
        return self.table.dataset if self.where and self.where.tier == PAPER else ""

    def title(self) -> str:
        unit = COSTS.get(self.metric, "") if self.metric.startswith(COST) else "%"
        better = "lower" if self.sign < 0 else "higher"
        told = f"{self.metric}, {unit}" if unit else self.metric
        return f"{self.table.metrics[self.metric]} ({told}, {better} is better)"

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
        others = [row for row in self.ours if row != self.table.baseline]
        found = [compare(self.ours[row], base, self.noise) for row in others]
        corrected = iter(holm([one.differs() for one in found if one is not None]))
        return {
            row: Delta(one.difference, one.margin(), next(corrected))
            if one is not None
            else Delta(self.ours[row].mean - base.mean)
            for row, one in zip(others, found, strict=True)
        }


@dataclass(frozen=True)
class Delta:
    """A row minus the baseline; margin and p are None where nobody knows the noise."""

    difference: float
    margin: float | None = None  # half the 95 % interval
    p: float | None = None

    def told(self, decimals: int) -> str:
        shown = f"{self.difference:+.{decimals}f}"
        if self.margin is None or self.p is None:
            return shown
        return f"{shown} ± {self.margin:.{decimals}f}" + ("*" if self.p <= ALPHA else "")


def sheet(table: Table, entries: list[Entry]) -> Sheet:
    """The table filled in."""
    held = judge.valid(entries)
    titles: dict[str, list[Section]] = {}
    for column, words in columns(table, held):
        where = column.where
        title = f"Tier {where}" if where else "No finished runs"
        titles.setdefault(title, []).append(_section(column, words))
    blocks = [Block(title, sections) for title, sections in titles.items()]
    if table.effects:
        blocks.append(Block("Claims", [_claims(table, held)]))
    source = f"Published numbers: {table.source} ({table.confidence})."
    return Sheet(
        table.name, f"{table.label} of {table.paper}", table.message, blocks, _notes(table, held, blocks), source
    )


def columns(table: Table, held: list[Entry]) -> list[tuple[Column, dict[str, str]]]:
    """Each metric in each setting, the paper's own setting first, with the word for each row; costs have none."""
    found = {metric: _found(table, metric, held) for metric in table.metrics}
    settings = {where for rows in found.values() for cells in rows.values() for where in cells}
    ordered = sorted(settings, key=lambda at: (not at.on_protocol, at))
    judged = judge.judge_claims(table, held)
    verdicts = {(claim.row, claim.metric): verdict for claim, verdict in zip(table.claims, judged, strict=True)}
    made = []
    shown: list[Setting | None] = [*ordered] or [None]
    for where in shown:
        there = [entry for entry in held if where is None or entry.tier == where.tier]
        status = {row.name: _status(row, there) for row in table.rows.values()}
        for metric in table.metrics:
            ours = {name: cells[where] for name, cells in found[metric].items() if where is not None and where in cells}
            column = Column(table, metric, where, ours)
            rows = {} if metric.startswith(COST) else table.rows
            made.append((column, {name: _word(column, row, verdicts, status[name]) for name, row in rows.items()}))
    return made


def number(value: float | None, decimals: int, sign: bool = False) -> str:
    if value is None:
        return EMPTY
    return f"{value:+.{decimals}f}" if sign else f"{value:.{decimals}f}"


def measured(sample: Sample | None, decimals: int = 1) -> str:
    """Mean ± standard deviation over the seeds."""
    if sample is None:
        return EMPTY
    mean = number(sample.mean, decimals)
    return mean if sample.sd is None else f"{mean} ± {number(sample.sd, decimals)}"


def claimed(effect: Effect) -> str:
    if effect.kind == "equal":
        return f"{effect.better} = {effect.worse}"
    return f"{effect.better} > {effect.worse}" + ("" if effect.gain is None else f" by {effect.gain:g}")


def _found(table: Table, metric: str, entries: list[Entry]) -> dict[str, dict[Setting, Sample]]:
    rows: dict[str, list[Entry]] = {name: [] for name in table.rows}
    for entry in entries:
        rows.get(entry.row or "", []).append(entry)
    of: Callable[[list[Entry], str, str], dict[Setting, Sample]]
    of = costs.samples if metric.startswith(COST) else judge.samples
    return {name: of(held, name, metric) for name, held in rows.items()}


def _section(column: Column, words: dict[str, str]) -> Section:
    best, deltas, places = column.best() if words else None, column.against(), column.decimals
    body = []
    for name, row in column.table.rows.items():
        ours, delta = column.ours.get(name), deltas.get(name)
        told = "baseline" if name == column.table.baseline else delta.told(places) if delta else EMPTY
        cells = [
            Text(row.label),
            Text(measured(ours, places), bold=name == best, number=True),
            Text(str(ours.n) if ours else "0", number=True),
            Text(number(row.published.get(column.metric), places), number=True),
        ]
        if words:
            cells.append(Text(number(column.difference(row), places, sign=True), number=True))
            cells += [Text(words[name], verdict=True), Text(told, number=True)]
        body.append(tuple(cells))
    return Section(column.title(), HEAD if words else COST_HEAD, body)


def _word(column: Column, row: Row, verdicts: dict[tuple[str, str], Verdict], status: str) -> str:
    if row.name not in column.ours and status:
        return status
    verdict = verdicts.get((row.name, column.metric))
    if verdict is None:
        return EMPTY
    if row.name not in column.ours:
        return judge.MISSING
    return verdict.word if verdict.setting == column.where else judge.OFF_PROTOCOL


def _status(row: Row, entries: list[Entry]) -> str:
    """Why a row has no number, where there is a better word than missing."""
    if row.unsupported is not None:
        return UNSUPPORTED
    if row.quoted is not None:
        return QUOTED
    states = {entry.status for entry in entries if entry.row == row.name}
    return judge.FAILED if "failed" in states else STOPPED if states == {"stopped"} else ""


def _claims(table: Table, entries: list[Entry]) -> Section:
    body = [
        _claim(table, effect, verdict)
        for effect, found in zip(table.effects, judge.judge_effects(table, entries), strict=True)
        for verdict in found
    ]
    return Section("What the paper concludes, and whether it holds here", CLAIM_HEAD, body)


def _claim(table: Table, effect: Effect, verdict: Verdict) -> tuple[Text, ...]:
    ours = number(verdict.difference, 2, sign=True)
    if verdict.margin is not None:
        ours += f" ± {verdict.margin:.2f}"
    numbers = [table.rows[row].published.get(effect.metric) for row in (effect.better, effect.worse)]
    sign = -1 if effect.metric in table.lower else 1
    told = EMPTY if None in numbers else f"{sign * (numbers[0] - numbers[1]):+.4g}"  # type: ignore[operator]
    n = f"{verdict.ours.n}, {verdict.other.n}" if verdict.ours and verdict.other else "0"
    at = f"at {verdict.setting}" if verdict.setting else ""
    missing = "; ".join(part for part in (verdict.reason, at) if part)
    return (Text(claimed(effect)), Text(table.metrics[effect.metric]), Text(ours, number=True),
            Text(told, number=True), Text(verdict.word, verdict=True), Text(n, number=True), Text(missing))  # fmt: skip


def _notes(table: Table, entries: list[Entry], blocks: list[Block]) -> list[str]:
    lost = Counter((entry.row, entry.status) for entry in entries if entry.status != "finished")
    notes = [f"{row}: {n} {status} run{'s' * (n > 1)}" for (row, status), n in sorted(lost.items(), key=str)]
    notes += [f"{row.name}: {row.unsupported}" for row in table.rows.values() if row.unsupported]
    texts = [text for block in blocks for section in block.sections for line in section.body for text in line]
    if any(text.bold for text in texts):
        notes.append("Bold: better than every other row with 95 % confidence.")
    if any(text.text.endswith("*") for text in texts):
        notes.append("* differs from the baseline with 95 % confidence, corrected for the number of rows.")
    return notes
