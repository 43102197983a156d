"""A plan as text: a line per row, and the sum of its cost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from lineage.launch.cells import Cell, CellName
from lineage.launch.cost_estimate import CostEstimate
from lineage.launch.plan import BLOCKED, DONE, NOT_NEEDED, TEST, TRAIN, Plan
from lineage.results.count_noun import count_noun
from lineage.tables.format.terminal import Grid, align
from lineage.tables.tiers import Tiers, describe_dropped, load_tiers

TABLE_HEAD = ["table", "tier", "rows", "done", "train", "test", "blocked", "hours"]
HEAD = ["row", "tier", "seeds", "done", "train", "test", "hours", ""]

RowName = tuple[str, str, str]  # table, row, tier


def format_plan(plan: Plan, costs: Mapping[CellName, CostEstimate], hardware: str, experiments: Path) -> str:
    """Return a line per row that sums its seeds, of many tables a line per table, and the sum of all."""
    if len({cell.name.table for cell in plan.cells.values() if cell.requested}) > 1:
        return "\n".join([align(Grid(TABLE_HEAD, _format_tables(plan, costs))), _format_sum(plan, costs, hardware)])
    cells: dict[RowName, list[Cell]] = defaultdict(list)
    for cell in plan.cells.values():
        if plan.action(cell) != NOT_NEEDED:
            cells[cell.name[:3]].append(cell)
    same = find_repeats(plan)
    tiers = load_tiers(experiments)
    lines = []
    for row, of_row in cells.items():
        dropped = describe_dropped(of_row[0].row, row[2], tiers.get(row[2], {}), of_base=False)
        lines.append(_format_row(row, of_row, plan, costs, [same.get(row, ""), dropped]))
    of_bases = dict.fromkeys(_describe_base(row, of_row[0], tiers) for row, of_row in cells.items())
    return "\n".join([align(Grid(HEAD, lines)), *filter(None, of_bases), _format_sum(plan, costs, hardware)])


def _format_tables(plan: Plan, costs: Mapping[CellName, CostEstimate]) -> list[list[str]]:
    """Return a line per table and tier."""
    tables: dict[tuple[str, str], list[Cell]] = defaultdict(list)
    for cell in plan.cells.values():
        if plan.action(cell) != NOT_NEEDED:
            tables[cell.name.table, cell.name.tier].append(cell)
    lines = []
    for (table, tier), cells in tables.items():
        counts = [sum(plan.action(cell) == action for cell in cells) for action in (DONE, TRAIN, TEST, BLOCKED)]
        lines.append(
            [table, tier, str(len({cell.name.row for cell in cells})), *map(str, counts), _sum_hours(cells, costs)]
        )
    return lines


def _sum_hours(cells: Iterable[Cell], costs: Mapping[CellName, CostEstimate]) -> str:
    hours = [costs[cell.name].hours for cell in cells if cell.name in costs]
    estimates = [estimate for estimate in hours if estimate is not None]
    return "-" if not hours else "unknown" if len(estimates) < len(hours) else _round(sum(estimates))


def _describe_base(row: RowName, cell: Cell, tiers: Tiers) -> str:
    """Return a line on the keys of a table's base that its tier drops, or ""."""
    text = describe_dropped(cell.row, row[2], tiers.get(row[2], {}), of_base=True)
    return f"{row[0]}: {text}" if text else ""


def find_repeats(plan: Plan) -> dict[RowName, str]:
    """Return the rows that are, at their tier, the experiment of a row above: no claim about both can be judged."""
    first: dict[tuple[str, int], CellName] = {}
    repeats = {}
    for name, cell in plan.cells.items():
        above = first.setdefault((cell.cell_digest, name.seed), name)
        if cell.cell_digest and above[:3] != name[:3] and above.table == name.table:
            repeats[name[:3]] = f"same run as {above.row} at this tier"
    return repeats


def _format_row(
    row: RowName, cells: Sequence[Cell], plan: Plan, costs: Mapping[CellName, CostEstimate], remarks: Sequence[str]
) -> list[str]:
    table, name, tier = row
    estimates = [costs[cell.name] for cell in cells if cell.name in costs]
    hours = _sum_hours(cells, costs)
    counts = [sum(plan.action(cell) == action for cell in cells) for action in (DONE, TRAIN, TEST)]
    seeds = ",".join(str(cell.name.seed) for cell in cells)
    reason = "" if any(cell.requested for cell in cells) else "others need it"
    notes = dict.fromkeys(plan.decisions[cell.name].note for cell in cells)
    bases = dict.fromkeys(estimate.basis for estimate in estimates)
    text = "; ".join(filter(None, [reason, *remarks, *notes, *bases]))
    return [f"{table}/{name}", tier, seeds, *map(str, counts), hours, text]


def _format_sum(plan: Plan, costs: Mapping[CellName, CostEstimate], hardware: str) -> str:
    actions = [decision.action for decision in plan.decisions.values()]
    done = count_noun(actions.count(DONE), "cell")
    counts = f"{done} done, {actions.count(TRAIN)} to train, {actions.count(TEST)} to test"
    blocked = f", {actions.count(BLOCKED)} cannot run" if BLOCKED in actions else ""
    planned = [cost for name, cost in costs.items() if name in plan.cells and plan.is_open(name)]
    return f"{counts}{blocked}: {_format_cost(planned, hardware)}"


def _format_cost(estimates: Sequence[CostEstimate], hardware: str) -> str:
    """Return the hours of each device, and the number of cells of unknown cost."""
    devices: defaultdict[str, float] = defaultdict(float)
    for estimate in estimates:
        if estimate.hours is not None:
            devices[estimate.device] += estimate.hours
    unknown = sum(estimate.hours is None for estimate in estimates)
    if not devices:
        return f"cost on {hardware} unknown" if estimates else "nothing to do"
    rest = f" and {count_noun(unknown, 'cell')} of unknown cost" if unknown else ""
    return " + ".join(f"{_round(hours)} hours of one {device}" for device, hours in devices.items()) + rest


def _round(hours: float) -> str:
    return f"{hours:.2f}" if hours < 10 else f"{hours:,.0f}"
