"""The runs that settle most claims per hour: an estimate for each open claim, and a greedy choice within some hours.

The chance that runs settle a claim is the power of a two-sided test (of two one-sided ones for an equality) at the
level that Holm's correction leaves the first claim of its table. The effect is the measured one, else the published
difference times SHRINKAGE; the noise is what the store has measured for the metric, model family, dataset and tier,
else ASSUMED_SD.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

from lineage.launch.cells import CellName
from lineage.launch.claim_costs import ClaimCost, CostPlan
from lineage.tables.statistics.pooled_noise import NoiseEstimate
from lineage.tables.statistics.seed_noise import find_family
from lineage.tables.statistics.student_t import ALPHA
from lineage.tables.table_noise import NoiseKey

SHRINKAGE = 0.5  # a small model on a small dataset shows about half of a paper's difference: Table 2c of Mask R-CNN
ASSUMED_SD = 0.5  # AP between seeds at tier mini, where nothing was measured
UNSTATED = 1.0  # AP: the published difference of an order without numbers
LEAST_CHANCE = 0.05  # of a claim that is worth its runs
NORMAL = NormalDist()

Noise = Mapping[NoiseKey, NoiseEstimate]


@dataclass(frozen=True, slots=True)
class NextClaim:
    """A claim that was chosen, with what it adds to those chosen before it."""

    cost: ClaimCost
    chance: float  # that its runs settle it
    hours: float  # of cells that no claim before it pays for
    basis: str


@dataclass(frozen=True, slots=True)
class _Candidate:
    cost: ClaimCost
    chance: float
    basis: str


def choose_next(costs: Iterable[ClaimCost], shared: CostPlan, noise: Noise, hours: float) -> list[NextClaim]:
    """Return the claims whose runs fit into the hours, those first that add most chance per hour.

    A cell that an earlier claim pays for costs the next one nothing.
    """
    # 1. Claims that runs can settle.
    open_claims = [cost for cost in costs if not cost.obstacle and cost.hours is not None and cost.cells]
    estimates = [_Candidate(cost, *estimate_chance(cost, shared, noise)) for cost in open_claims]
    candidates = [candidate for candidate in estimates if candidate.chance >= LEAST_CHANCE]
    # 2. The best per hour that still fits, until none does.
    chosen: list[NextClaim] = []
    paid: set[CellName] = set()
    left = hours
    while candidates:
        prices = [shared.sum_hours(candidate.cost.cells - paid) or 0.0 for candidate in candidates]
        fitting = [i for i, price in enumerate(prices) if price <= left]
        if not fitting:
            break
        best = max(fitting, key=lambda i: candidates[i].chance / max(prices[i], 1e-6))
        candidate = candidates.pop(best)
        chosen.append(NextClaim(candidate.cost, candidate.chance, prices[best], candidate.basis))
        paid |= candidate.cost.cells
        left -= prices[best]
    return chosen


def list_cells(chosen: Iterable[NextClaim]) -> list[CellName]:
    """Return the cells that the chosen claims need, claim by claim."""
    return list(dict.fromkeys(name for claim in chosen for name in claim.cost.requested))


def estimate_chance(cost: ClaimCost, shared: CostPlan, noise: Noise) -> tuple[float, str]:
    """Return the chance that the runs of a claim settle it, and what that is based on."""
    claim, verdict = cost.claim, cost.claim.verdict
    seeds = len({name.seed for name in cost.requested})
    choices = shared.plan.cells[cost.requested[0]].composed.choices
    tier = cost.requested[0].tier
    sd, source = _find_noise(claim.effect.metric, choices, tier, noise)
    level = ALPHA / max(1, len(claim.table.effects))
    error = sd * sqrt(2 / seeds)
    if claim.effect.kind == "equal":
        tolerance = claim.effect.tolerance * SHRINKAGE
        chance = max(0.0, 2 * NORMAL.cdf(tolerance / error - NORMAL.inv_cdf(1 - level)) - 1)
        return chance, f"equal within {tolerance:.2g}, {source}"
    measured = verdict.difference if verdict is not None and verdict.setting and verdict.setting.tier == tier else None
    effect = abs(measured) if measured is not None else SHRINKAGE * abs(_find_published(cost))
    critical = NORMAL.inv_cdf(1 - level / 2)
    chance = NORMAL.cdf(effect / error - critical) + NORMAL.cdf(-effect / error - critical)
    return chance, f"effect {effect:.2g} {'measured' if measured is not None else 'expected'}, {source}"


def _find_noise(metric: str, choices: Mapping[str, str], tier: str, noise: Noise) -> tuple[float, str]:
    """Return the noise of one run: of equal model family and dataset, else of any, else assumed."""
    key = NoiseKey(metric, find_family(choices.get("model", "")), choices.get("dataset", ""), tier)
    if key in noise and noise[key].sd > 0:
        return noise[key].sd, f"sd {noise[key].sd:.2g} measured"
    others = [
        spread.sd for other, spread in noise.items() if (other.metric, other.tier) == (metric, tier) and spread.sd > 0
    ]
    if others:
        return max(others), f"sd {max(others):.2g} of other models"
    return ASSUMED_SD, f"sd {ASSUMED_SD:g} assumed"


def _find_published(cost: ClaimCost) -> float:
    """Return the size that a claim states, else the difference of its published numbers."""
    claim = cost.claim
    if claim.effect.gain is not None:
        return claim.effect.gain
    rows = [
        claim.table.rows[name].published.get(claim.effect.metric) for name in (claim.effect.better, claim.effect.worse)
    ]
    return UNSTATED if rows[0] is None or rows[1] is None else rows[0] - rows[1]


def format_next(chosen: Sequence[NextClaim]) -> list[list[str]]:
    """Return a line per claim: its chance, what it adds in hours, and the sum so far."""
    lines, total = [], 0.0
    for claim in chosen:
        total += claim.hours
        effect = claim.cost.claim.effect
        relation = f"{effect.better} {'=' if effect.kind == 'equal' else '>'} {effect.worse}"
        lines.append([
            f"{100 * claim.chance:.0f} %", f"{60 * claim.hours:.0f}", f"{total:.1f}", claim.cost.claim.table.name,
            f"{relation} ({claim.cost.claim.table.metrics[effect.metric]})", claim.basis,
        ])  # fmt: skip
    return lines
