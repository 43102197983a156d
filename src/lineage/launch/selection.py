"""The cells that a command line names, and those of them that a budget of hours pays for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lineage.launch.cells import CellName
from lineage.launch.cost_estimate import CostEstimate
from lineage.launch.plan import Plan
from lineage.results.count_noun import count_noun
from lineage.tables import read, tiers
from lineage.tables.suggest import did_you_mean
from lineage.tables.table import Table, TableError
from lineage.tables.yaml_node import read_node

SEEDS = 3  # of each row, if nobody plans another number
DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(d|h|m|min)?")
CLAIM_KEYS = ("table", "better", "worse", "metric")
HOURS = {"d": 24.0, "h": 1.0, "m": 1 / 60, "min": 1 / 60, None: 1.0}


@dataclass(frozen=True, slots=True)
class Selection:
    """Rows of a table."""

    table: Table
    rows: Sequence[str]


def select_rows(experiments: Path, names: Sequence[str], everything: bool) -> list[Selection]:
    """Return the rows of what is named, or with `everything` of all tables.

    names: tables, papers, full names of rows, and plain names of rows after their table.

    Raises TableError for a name that is none of these.
    """
    tables = read.list_tables(experiments)
    if everything and names:
        raise TableError(f"--all is every table: leave {names[0]} out")
    if not everything and not names:
        raise TableError("which table? `lineage table --all` lists them; a paper, or --all, is many")
    chosen: dict[str, list[str]] = {table: [] for table in read.list_readable(experiments)} if everything else {}
    last = ""  # the table or paper that was named last
    for name in map(read.clean_name, names):
        above, _, row = name.rpartition("/")
        of_paper = read.list_tables_of(name, tables)
        if above in tables:  # mask_rcnn/table2c/roi_align, as the plan prints it
            last = above
            chosen.setdefault(above, []).append(row)
        elif of_paper and not _is_row(experiments, last, tables, name):
            last = name
            chosen |= {table: [] for table in of_paper}
        elif last and not above:
            chosen[_check_table(last, tables, name)].append(name)
        else:
            last = name
            chosen.setdefault(name, [])
    return [_select(read.load_table(experiments, table), rows) for table, rows in chosen.items()]


def _is_row(experiments: Path, table: str, tables: Sequence[str], name: str) -> bool:
    return table in tables and name in read.load_table(experiments, table).rows


def _check_table(name: str, tables: list[str], row: str) -> str:
    """Return the name of a table. Raises TableError for a paper."""
    if of_paper := read.list_tables_of(name, tables):
        raise TableError(
            f"{name} is a paper of {count_noun(len(of_paper), 'table')}: name the table before the row {row}"
        )
    return name


def _select(table: Table, rows: Sequence[str]) -> Selection:
    """Return these rows, or all that are no quotes."""
    for row in rows:
        if row not in table.rows:
            raise TableError(f"table {table.name} has no row {row!r}. {did_you_mean(row, table.rows)}")
    return Selection(
        table, list(dict.fromkeys(rows)) or [row.name for row in table.rows.values() if row.quoted is None]
    )


def list_cells(selections: Iterable[Selection], tier: str | None, seeds: int | None) -> list[CellName]:
    """Return a cell per row and seed, table by table; by default at the table's tier, with the seeds that it plans."""
    return [
        CellName(selection.table.name, row, tier or selection.table.tier, seed)
        for selection in selections
        for seed in range(seeds or selection.table.seeds or SEEDS)
        for row in selection.rows
    ]


def parse_duration(text: str, option: str) -> float:
    """Return the hours of `3h`, `90m`, `1.5` (hours) or `2d`. Raises TableError, which names the command's option."""
    match = DURATION.fullmatch(text.strip().lower())
    if match is None or float(match[1]) <= 0:
        raise TableError(f"{option} {text}: expected hours, such as 3h, 90m or 2d")
    return float(match[1]) * HOURS[match[2]]


def choose_within(plan: Plan, costs: Mapping[CellName, CostEstimate], hours: float) -> list[CellName]:
    """Return the requested cells that are done, or fit into the hours with all that they wait for, in their order.

    A cell of unknown cost does not fit.
    """
    left, paid = hours, set[CellName]()
    chosen = []
    for name, cell in plan.cells.items():
        if not cell.requested:
            continue
        needed = list_open(plan, name) - paid
        prices = [costs[open_cell].hours for open_cell in needed if open_cell in costs]
        estimates = [price for price in prices if price is not None]
        if len(estimates) < len(needed) or sum(estimates) > left:
            continue
        left -= sum(estimates)
        paid |= needed
        chosen.append(name)
    return chosen


def list_open(plan: Plan, name: CellName) -> set[CellName]:
    """Return an open cell and the open ones that have to be done before it."""
    if not plan.is_open(name):
        return set()
    return {name}.union(*(list_open(plan, other) for other in plan.decisions[name].after))


def list_claim_cells(path: Path, experiments: Path, tier: str | None, seeds: int | None) -> list[CellName]:
    """Return the cells of a list of claims, claim by claim; by default at the tier and with the seeds of the file.

    Raises TableError for a claim that its table does not have.
    """
    node = read_node(path).check_keys(("tier", "seeds", "claims"), ("claims",))
    at, count = tier or node.text("tier"), seeds or read.read_seeds(node) or SEEDS
    if at:
        tiers.check_tier(experiments, at)
    claims = node.mappings("claims")
    if not claims:
        raise node.error("claims", "missing")
    names: dict[CellName, None] = {}
    for claim in claims:
        claim.check_keys(CLAIM_KEYS, CLAIM_KEYS)
        table = read.load_table(experiments, claim.text("table"))
        relation = (claim.text("better"), claim.text("worse"), claim.text("metric"))
        relations = [(effect.better, effect.worse, effect.metric) for effect in table.effects]
        if relation not in relations:
            name, stated = _format_relation(*relation), [_format_relation(*other) for other in relations]
            raise claim.error("table", f"{table.name} does not claim {name}. {did_you_mean(name, stated)}")
        names |= dict.fromkeys(
            CellName(table.name, row, at or table.tier, seed) for seed in range(count) for row in relation[:2]
        )
    return list(names)


def _format_relation(better: str, worse: str, metric: str) -> str:
    return f"{better} > {worse} by {metric}"
