"""A judged table as text, independent of the format: sections of rows, one section per metric and setting.

Every format prints the same strings, so a number is the same in a terminal, in a paper and on a page.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import floor, log10

from lineage.results.entry import Entry
from lineage.tables import verdicts
from lineage.tables.column import Column, build_columns
from lineage.tables.format import notes
from lineage.tables.numbers import EMPTY, format_number
from lineage.tables.samples import Setting, drop_superseded
from lineage.tables.table import Effect, Row, Table
from lineage.tables.verdicts import Background, Judgement, Verdict

HEAD = ("row", "ours", "sd", "n", "published", "diff", "verdict", "vs baseline")
CLAIM_HEAD = ("claim", "metric", "tier", "ours", "published", "verdict", "n", "remark")
PRINTED = ("verdict", "tier", "ours", "published", "n", "metric", "claim")  # columns of claims on paper, longest last
OF_PAPERS = ("published", "diff", "verdict")  # columns that stay empty where nothing is published
CLAIMS = "Claims"
COSTS = "What it costs, on the machines of the runs"
PUBLISHED = "; in brackets what was published"
OWN = "A table of our own: nothing of it is published."
PLUS_MINUS = (
    "± is half the 95 % confidence interval of the difference before it, under 'vs baseline' corrected for the rows of "
    "the column, as * is; in claims for all questions of the table, as the verdicts are. "
    "sd is the standard deviation over seeds."
)


EXTRA_SEEDS = re.compile(r"\d\+\d")


@dataclass(frozen=True, slots=True)
class CellText:
    """One cell as printed."""

    text: str
    bold: bool = False
    verdict: bool = False  # the text begins with the word of a verdict
    number: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    head: tuple[str, ...]
    body: Sequence[tuple[CellText, ...]]

    @property
    def has_claims(self) -> bool:
        """True if each line is a claim, with a remark in its last cell."""
        return self.head[0] == CLAIM_HEAD[0]


@dataclass(frozen=True, slots=True)
class Block:
    """Everything measured in one setting; `title` names its tier."""

    title: str
    sections: list[Section]


@dataclass(frozen=True, slots=True)
class TableView:
    name: str
    title: str
    message: str
    blocks: list[Block]
    notes: list[str]  # failed and stopped runs, unsupported rows, the meaning of stars and bold
    source: str


def build_view(
    table: Table, entries: list[Entry], background: Background | None = None, more_notes: Iterable[str] = ()
) -> TableView:
    """Fill the table in: a block per setting, then the claims, then the notes; `more_notes` stand above these."""
    valid = drop_superseded(entries)
    judgement = verdicts.judge(table, valid, background)
    columns = build_columns(table, valid, judgement)
    settings = list(dict.fromkeys(column.setting for column in columns))
    blocks = [
        Block(
            _title_block(setting, settings),
            _build_sections([column for column in columns if column.setting == setting]),
        )
        for setting in settings
    ]
    if table.effects:
        blocks.append(Block(CLAIMS, [_build_claims(table, judgement, settings)]))
    legend = [*_legend(blocks), *notes.describe_families(judgement)]
    remarks = [*more_notes, *notes.describe_rows(table, entries), *notes.describe_columns(columns), *legend]
    source = OWN if table.is_own else f"Published numbers: {table.source} ({table.confidence})."
    return TableView(table.name, f"{table.label} of {table.paper}", table.message, blocks, remarks, source)


def format_seeds(n: int, planned: int | None) -> str:
    """Return a number of seeds; those beyond the plan of the table file apart: 3+2."""
    return str(n) if planned is None or n <= planned else f"{planned}+{n - planned}"


def format_effect(effect: Effect) -> str:
    if effect.kind == "equal":
        return f"{effect.better} = {effect.worse}"
    return f"{effect.better} > {effect.worse}" + ("" if effect.gain is None else f" by {effect.gain:g}")


def _title_block(setting: Setting | None, settings: list[Setting | None]) -> str:
    return " ".join(["Tier", setting.tier, *_distinguish(setting, settings)]) if setting else "No finished runs"


def _distinguish(setting: Setting, settings: Iterable[Setting | None]) -> list[str]:
    """Return labels that distinguish settings of one tier: the deviations, and the test if only that differs."""
    alike = sum(other is not None and str(other) == str(setting) for other in settings)
    return [*setting.deviations, *([f"(test {setting.evaluation[:8]})"] if alike > 1 else [])]


def _build_sections(columns: list[Column]) -> list[Section]:
    costs = [column for column in columns if column.cost and (column.samples or _is_published(column))]
    sections = [_build_section(column) for column in columns if not column.cost]
    return sections + ([_build_costs(costs)] if costs else [])


def _build_section(column: Column) -> Section:
    best, deltas, decimals = column.best(), column.deltas(), column.decimals
    body = []
    for name, row in column.table.rows.items():
        sample, delta = column.samples.get(name), deltas.get(name)
        versus = "baseline" if name == column.table.baseline else delta.format(decimals) if delta else EMPTY
        body.append((
            CellText(row.label),
            CellText(format_number(sample.mean if sample else None, decimals), bold=name == best, number=True),
            CellText(format_number(sample.sd if sample else None, decimals + 1), number=True),
            CellText(format_seeds(sample.n if sample else 0, column.table.seeds), number=True),
            CellText(format_number(row.published.get(column.metric), decimals), number=True),
            CellText(format_number(column.difference(row), decimals, sign=True), number=True),
            CellText(column.verdicts[name], verdict=True),
            CellText(versus, number=True),
        ))  # fmt: skip
    return _drop_empty(Section(column.title(), HEAD, body), column.table)


def _build_costs(columns: list[Column]) -> Section:
    """All costs beside each other."""
    decimals = [_cost_decimals(column) for column in columns]
    body = [
        (CellText(row.label), *(_format_cost(column, row, n) for column, n in zip(columns, decimals, strict=True)))
        for row in columns[0].table.rows.values()
    ]
    title = COSTS + (PUBLISHED if any(map(_is_published, columns)) else "")
    return Section(title, ("row", *(column.name for column in columns)), body)


def _format_cost(column: Column, row: Row, decimals: int) -> CellText:
    sample, published = column.samples.get(row.name), row.published.get(column.metric)
    ours = format_number(sample.mean if sample else None, decimals)
    return CellText(ours + ("" if published is None else f" ({published:g})"), number=True)


def _is_published(column: Column) -> bool:
    return any(column.metric in row.published for row in column.table.rows.values())


def _cost_decimals(column: Column) -> int:
    """Return the decimals that give the largest value three digits."""
    largest = max((abs(sample.mean) for sample in column.samples.values()), default=0.0)
    return max(0, 2 - floor(log10(largest))) if largest else 0


def _build_claims(table: Table, judgement: Judgement, settings: list[Setting | None]) -> Section:
    body = [
        _format_claim(table, effect, verdict, settings)
        for effect, judged in zip(table.effects, judgement.effects, strict=True)
        for verdict in judged
    ]
    who = "is claimed" if table.is_own else "the paper concludes"
    return _drop_empty(Section(f"What {who}, and whether it holds here", CLAIM_HEAD, body), table)


def _drop_empty(section: Section, table: Table) -> Section:
    """Leave the columns of OF_PAPERS out that hold nothing, if the table has no published number at all."""
    if any(row.published for row in table.rows.values()):
        return section
    columns = [
        i for i, name in enumerate(section.head)
        if name not in OF_PAPERS or any(line[i].text != EMPTY for line in section.body)
    ]  # fmt: skip
    body = [tuple(line[i] for i in columns) for line in section.body]
    return Section(section.title, tuple(section.head[i] for i in columns), body)


def _format_claim(
    table: Table, effect: Effect, verdict: Verdict, settings: list[Setting | None]
) -> tuple[CellText, ...]:
    """Return the cells of one claim, in the order of CLAIM_HEAD."""
    ours = format_number(verdict.difference, 2, sign=True)
    if verdict.margin is not None:
        ours += f" ± {verdict.margin:.2f}"
    numbers = [table.rows[row].published.get(effect.metric) for row in (effect.better, effect.worse)]
    sign = -1 if effect.metric in table.lower else 1
    published = EMPTY if None in numbers else f"{sign * (numbers[0] - numbers[1]):+.4g}"  # type: ignore[operator]
    numbers_of_seeds = [format_seeds(sample.n, table.seeds) for sample in (verdict.ours, verdict.other) if sample]
    n = ", ".join(numbers_of_seeds) if len(numbers_of_seeds) == 2 else "0"
    setting = verdict.setting
    labels = " ".join(_distinguish(setting, settings)) if setting else ""
    remark = "; ".join(part for part in (verdict.reason, labels, verdict.noise) if part)
    words = (format_effect(effect), table.metrics[effect.metric], setting.tier if setting else EMPTY)
    return (*map(CellText, words), CellText(ours, number=True), CellText(published, number=True),
            CellText(verdict.word, verdict=True), CellText(n, number=True), CellText(remark))  # fmt: skip


def _legend(blocks: list[Block]) -> list[str]:
    cells = [cell for block in blocks for section in block.sections for line in section.body for cell in line]
    lines = []
    if any("±" in cell.text for cell in cells):
        lines.append(PLUS_MINUS)
    if any(EXTRA_SEEDS.search(cell.text) for cell in cells if cell.number):
        lines.append("n = 3+2: the seeds that the table plans, and extra ones; each reading has its share of the 5 %.")
    if any(cell.bold for cell in cells):
        lines.append("Bold: better than every other row with 95 % confidence.")
    if any(cell.text.endswith("*") for cell in cells):
        lines.append("* differs from the baseline with 95 % confidence, corrected for the rows of the column.")
    return lines
