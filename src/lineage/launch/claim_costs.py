"""Costs of settling a claim: the cells of its two rows that are missing, and their hours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lineage.launch.cells import CellName, LoadTable
from lineage.launch.cost_estimate import CostEstimate, estimate_costs
from lineage.launch.plan import BLOCKED, Plan, make_plan
from lineage.launch.selection import SEEDS, list_open
from lineage.results.count_noun import count_noun
from lineage.results.entry import Entry
from lineage.tables.paper.status import ClaimStatus, Status
from lineage.tables.samples import drop_superseded
from lineage.tables.verdicts import NOT_MEASURED

MOST_SEEDS = 20  # of each row: a claim that needs more is not worth its hours


@dataclass(frozen=True, slots=True)
class ClaimCost:
    """The cells that a claim is waiting for."""

    claim: ClaimStatus
    cells: frozenset[CellName]  # open ones, with all that they wait for
    requested: Sequence[CellName]  # of its two rows, done or open
    hours: float | None  # None is unknown
    obstacle: str = ""  # why no run can settle it


@dataclass(frozen=True, slots=True)
class CostPlan:
    """The plan of all cells that open claims need, with the cost of each."""

    plan: Plan
    costs: Mapping[CellName, CostEstimate]

    def sum_hours(self, cells: Iterable[CellName]) -> float | None:
        """Return the hours of some open cells; None if one of them is unknown."""
        hours = [self.costs[name].hours for name in cells]
        numbers = [number for number in hours if number is not None]
        return sum(numbers) if len(numbers) == len(hours) else None


def price_claims(
    project: Path, experiments: Path, load_table: LoadTable, claims: Sequence[ClaimStatus], entries: list[Entry],
    tier: str, hardware: str,
) -> tuple[CostPlan, list[ClaimCost]]:  # fmt: skip
    """Return the cost of each open claim at a tier, and the plan that they share."""
    unsettled = [claim for claim in claims if claim.status == Status.OPEN]
    requested = [list_needed(claim, tier) for claim in unsettled]
    names = dict.fromkeys(name for cells in requested for name in cells)
    plan = make_plan(project, load_table, names, drop_superseded(entries))
    shared = CostPlan(plan, estimate_costs(plan, entries, hardware, experiments))
    return shared, [_price(claim, cells, shared) for claim, cells in zip(unsettled, requested, strict=True)]


def list_needed(claim: ClaimStatus, tier: str) -> list[CellName]:
    """Return the cells of both rows: the planned seeds, or as many as the verdict says would settle it."""
    table, effect = claim.table, claim.effect
    seeds = max(table.seeds or SEEDS, _read_estimate(claim, tier) or 0)
    rows = [row for row in (effect.better, effect.worse) if table.rows[row].quoted is None]
    return [CellName(table.name, row, tier, seed) for seed in range(min(seeds, MOST_SEEDS)) for row in rows]


def _read_estimate(claim: ClaimStatus, tier: str) -> int | None:
    """Return how many seeds of each row the verdict of a tier asks for; None without one."""
    verdict = claim.verdict
    if verdict is None or verdict.setting is None or verdict.setting.tier != tier or verdict.seeds is None:
        return None
    return verdict.seeds[0]


def describe_cost(cost: ClaimCost, tier: str) -> str:
    """Return the cost of a claim in words."""
    if cost.obstacle:
        return cost.obstacle
    runs = f"{count_noun(len(cost.cells), 'run')} at tier {tier}"
    if not cost.cells:
        return "its runs are there, and more seeds are not estimated to settle it"
    return f"{runs}{_describe_needed(cost)}, {_format_hours(cost.hours)}"


def _describe_needed(cost: ClaimCost) -> str:
    """Return how many of the runs are of the claim's two rows, and which rows the others are of; "" without others."""
    others = cost.cells - set(cost.requested)
    if not others:
        return ""
    rows = sorted({f"{cell.table}/{cell.row}" for cell in others})
    named = ", ".join(rows) if len(rows) < 3 else f"{rows[0]} and {len(rows) - 1} more"
    return (f" ({len(cost.cells) - len(others)} of its two rows, {len(others)} of rows whose checkpoints, regions or "
            f"labels these use: {named})")  # fmt: skip


def _format_hours(hours: float | None) -> str:
    if hours is None:
        return "of unknown cost (`lineage run --calibrate`)"
    return f"{60 * hours:.0f} minutes" if hours < 1 else f"{hours:.1f} hours"


def _price(claim: ClaimStatus, requested: Sequence[CellName], shared: CostPlan) -> ClaimCost:
    plan = shared.plan
    obstacle = _find_obstacle(claim, requested, plan)
    cells = frozenset[CellName]().union(*(list_open(plan, name) for name in requested))
    return ClaimCost(claim, cells, requested, shared.sum_hours(cells), obstacle)


def _find_obstacle(claim: ClaimStatus, requested: Sequence[CellName], plan: Plan) -> str:
    """Return why runs at this tier cannot settle a claim, or ""."""
    rows = [claim.table.rows[row] for row in (claim.effect.better, claim.effect.worse)]
    for row in rows:
        if not row.runs:
            return f"{row.name} cannot run: {row.unsupported or row.quoted}"
    if claim.verdict is not None and claim.verdict.word == NOT_MEASURED:
        return claim.verdict.reason
    estimate = _read_estimate(claim, requested[0].tier) if requested else None
    if estimate is not None and estimate > MOST_SEEDS:
        return f"about {estimate} seeds of each row at tier {requested[0].tier}, which is too many"
    blocked = [name for name in requested if plan.cells[name].composed.error is not None]
    if blocked:
        return f"{blocked[0].row} cannot run: {plan.cells[blocked[0]].composed.error}"
    first, second = (next(name for name in requested if name.row == row.name) for row in rows)
    if plan.cells[first].cell_digest == plan.cells[second].cell_digest:
        return f"at tier {first.tier} its rows are one experiment, so only tier paper can"
    if not any(plan.is_open(name) for name in requested):
        return _explain_blocked(claim, requested, plan)
    return ""


def _explain_blocked(claim: ClaimStatus, requested: Sequence[CellName], plan: Plan) -> str:
    """Return that missing runs start from files of runs on another machine, or "" if none is missing."""
    blocked = [name for name in requested if plan.decisions[name].action == BLOCKED]
    if not blocked:
        return ""
    rows = f"{claim.effect.better} {claim.effect.worse}"
    return (f"{blocked[0].row} starts from files of runs that are not on this machine: `lineage run {claim.table.name} "
            f"{rows} --tier {blocked[0].tier} --plan` says which")  # fmt: skip
