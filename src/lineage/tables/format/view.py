"""A judged table in words, before any format: sections of rows, one section per metric and setting.

Every format shows the same strings, so a number reads the same in a terminal, in a paper and on a page.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import floor, log10

from lineage.results.entry import Entry
from lineage.tables import verdicts
from lineage.tables.column import EMPTY, Column, columns
from lineage.tables.format import notes
from lineage.tables.statistics.seed_noise import Sample
from lineage.tables.table import Effect, Row, Table
from lineage.tables.verdicts import Setting, Verdict

HEAD = ("row", "ours", "n", "published", "diff", "verdict", "vs baseline")
CLAIM_HEAD = ("claim", "metric", "tier", "ours", "published", "verdict", "n", "remark")
PRINTED = (
    "verdict",
    "tier",
    "ours",
    "published",
    "n",
    "metric",
    "claim",
)  # the longest last
CLAIMS = "Claims"
COSTS = "What it costs, on the machines of the runs"
PUBLISHED = "; in brackets what was published"


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
    body: Sequence[tuple[Text, ...]]


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


def sheet(table: Table, entries: list[Entry]) -> Sheet:
    """The table filled in."""
    held = verdicts.valid(entries)
    shown = columns(table, held)
    settings = list(dict.fromkeys(column.where for column in shown))
    blocks = [
        Block(_block_title(where, settings), _sections([column for column in shown if column.where == where]))
        for where in settings
    ]
    if table.effects:
        blocks.append(Block(CLAIMS, [_claims(table, held, settings)]))
    told = [*notes.of_rows(table, entries), *notes.of_columns(shown), *_legend(blocks)]
    source = f"Published numbers: {table.source} ({table.confidence})."
    return Sheet(table.name, f"{table.label} of {table.paper}", table.message, blocks, told, source)


def number(value: float | None, decimals: int, sign: bool = False) -> str:
    if value is None:
        return EMPTY
    value = round(value, decimals) + 0.0  # no minus before a zero
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


def _block_title(where: Setting | None, settings: list[Setting | None]) -> str:
    return " ".join(["Tier", where.tier, *_beside(where, settings)]) if where else "No finished runs"


def _beside(where: Setting, settings: Iterable[Setting | None]) -> list[str]:
    """What names a setting beside its tier; those that differ in the images or rules of the test alone, by the test."""
    alike = sum(other is not None and str(other) == str(where) for other in settings)
    return [*where.deviations, *([f"(test {where.evaluation[:8]})"] if alike > 1 else [])]


def _sections(shown: list[Column]) -> list[Section]:
    costs = [column for column in shown if column.cost and (column.ours or _published(column))]
    return [_section(column) for column in shown if not column.cost] + ([_costs(costs)] if costs else [])


def _section(column: Column) -> Section:
    best, deltas, places = column.best(), column.against(), column.decimals
    body = []
    for name, row in column.table.rows.items():
        ours, delta = column.ours.get(name), deltas.get(name)
        told = "baseline" if name == column.table.baseline else delta.told(places) if delta else EMPTY
        body.append((
            Text(row.label),
            Text(measured(ours, places), bold=name == best, number=True),
            Text(str(ours.n) if ours else "0", number=True),
            Text(number(row.published.get(column.metric), places), number=True),
            Text(number(column.difference(row), places, sign=True), number=True),
            Text(column.words[name], verdict=True),
            Text(told, number=True),
        ))  # fmt: skip
    return Section(column.title(), HEAD, body)


def _costs(shown: list[Column]) -> Section:
    """All costs beside each other."""
    places = [_places(column) for column in shown]
    body = [
        (Text(row.label), *(_cost(column, row, n) for column, n in zip(shown, places, strict=True)))
        for row in shown[0].table.rows.values()
    ]
    title = COSTS + (PUBLISHED if any(map(_published, shown)) else "")
    return Section(title, ("row", *(column.name for column in shown)), body)


def _cost(column: Column, row: Row, places: int) -> Text:
    ours, told = column.ours.get(row.name), row.published.get(column.metric)
    return Text(number(ours.mean if ours else None, places) + ("" if told is None else f" ({told:g})"), number=True)


def _published(column: Column) -> bool:
    return any(column.metric in row.published for row in column.table.rows.values())


def _places(column: Column) -> int:
    """Three digits of the largest value."""
    largest = max((abs(ours.mean) for ours in column.ours.values()), default=0.0)
    return max(0, 2 - floor(log10(largest))) if largest else 0


def _claims(table: Table, entries: list[Entry], settings: list[Setting | None]) -> Section:
    body = [
        _claim(table, effect, verdict, settings)
        for effect, found in zip(table.effects, verdicts.judge_effects(table, entries), strict=True)
        for verdict in found
    ]
    return Section("What the paper concludes, and whether it holds here", CLAIM_HEAD, body)


def _claim(table: Table, effect: Effect, verdict: Verdict, settings: list[Setting | None]) -> tuple[Text, ...]:
    ours = number(verdict.difference, 2, sign=True)
    if verdict.margin is not None:
        ours += f" ± {verdict.margin:.2f}"
    numbers = [table.rows[row].published.get(effect.metric) for row in (effect.better, effect.worse)]
    sign = -1 if effect.metric in table.lower else 1
    told = EMPTY if None in numbers else f"{sign * (numbers[0] - numbers[1]):+.4g}"  # type: ignore[operator]
    n = f"{verdict.ours.n}, {verdict.other.n}" if verdict.ours and verdict.other else "0"
    where = verdict.setting
    beside = " ".join(_beside(where, settings)) if where else ""
    missing = "; ".join(part for part in (verdict.reason, beside) if part)
    words = (claimed(effect), table.metrics[effect.metric], where.tier if where else EMPTY)
    return (*map(Text, words), Text(ours, number=True), Text(told, number=True), Text(verdict.word, verdict=True),
            Text(n, number=True), Text(missing))  # fmt: skip


def _legend(blocks: list[Block]) -> list[str]:
    texts = [text for block in blocks for section in block.sections for line in section.body for text in line]
    told = []
    if any(text.bold for text in texts):
        told.append("Bold: better than every other row with 95 % confidence.")
    if any(text.text.endswith("*") for text in texts):
        told.append("* differs from the baseline with 95 % confidence, corrected for the number of rows.")
    return told
