"""The cells that a command line names, and those of them that a budget of hours pays for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lineage.launch.cells import CellName
from lineage.launch.cost_estimate import CostEstimate
from lineage.launch.plan import Plan
from lineage.tables import read
from lineage.tables.suggest import did_you_mean
from lineage.tables.table import Table, TableError

SEEDS = 3  # of each row, if nobody plans another number
DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(d|h|m|min)?")
HOURS = {"d": 24.0, "h": 1.0, "m": 1 / 60, "min": 1 / 60, None: 1.0}


@dataclass(frozen=True, slots=True)
class Selection:
    """Rows of a table."""

    table: Table
    rows: Sequence[str]


def select_rows(experiments: Path, name: str | None, rows: Sequence[str], everything: bool) -> list[Selection]:
    """Return the rows of a table, of a row's full name, of a paper, or with `everything` of all tables.

    Raises TableError for a name that is none of these.
    """
    tables = read.list_tables(experiments)
    load: Callable[[str], Table] = lambda table: read.load_table(experiments, table)  # noqa: E731
    if everything:
        if name is not None:
            raise TableError(f"--all is every table: leave {name} out")
        return [_select_all(load(table)) for table in tables]
    if name is None:
        raise TableError("which table? `lineage table --all` lists them; a paper, or --all, is many")
    name = name.strip("/").removesuffix(".yaml").removeprefix("experiments/")
    if of_paper := [table for table in tables if table.startswith(f"{name}/")]:
        if rows:
            raise TableError(f"{name} is a paper of {len(of_paper)} tables: name the table before the row {rows[0]}")
        return [_select_all(load(table)) for table in of_paper]
    above, _, row = name.rpartition("/")
    is_row = above in tables  # mask_rcnn/table2c/roi_align, as the plan prints it
    table = load(above if is_row else name)
    chosen = [row, *rows] if is_row else list(rows)
    for row in chosen:
        if row not in table.rows:
            raise TableError(f"table {table.name} has no row {row!r}. {did_you_mean(row, table.rows)}")
    return [Selection(table, chosen)] if chosen else [_select_all(table)]


def _select_all(table: Table) -> Selection:
    return Selection(table, [row.name for row in table.rows.values() if row.quoted is None])


def list_cells(selections: Iterable[Selection], tier: str | None, seeds: int | None) -> list[CellName]:
    """Return a cell per row and seed, table by table; by default at the table's tier, with the seeds that it plans."""
    return [
        CellName(one.table.name, row, tier or one.table.tier, seed)
        for one in selections
        for seed in range(seeds or one.table.seeds or SEEDS)
        for row in one.rows
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
        prices = [costs[one].hours for one in needed if one in costs]
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
