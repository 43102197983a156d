"""Shown claims against runs of today: which no longer hold, and which cells have drifted beyond the noise of seeds.

A claim that held is lost if its difference today is below that of the store by more than the noise of both, and is not
above 0 by more than its own. Of an equality, the difference has to leave the tolerance by more than its own noise.
A cell has drifted if its mean today lies outside the noise of the store. Levels are divided by the number of questions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

from lineage.results.entry import Entry
from lineage.tables.paper.status import ClaimStatus
from lineage.tables.statistics.pooled_noise import NoiseEstimate
from lineage.tables.statistics.seed_noise import SeedSample, mean
from lineage.tables.statistics.student_t import t_isf
from lineage.tables.table import Effect

LEVEL = 0.01  # that anything is called lost or drifted if nothing changed, for each of both lists


@dataclass(frozen=True, slots=True)
class Before:
    """A shown claim with the samples of both rows in the store and the noise of a run."""

    claim: ClaimStatus
    better: SeedSample
    worse: SeedSample
    noise: NoiseEstimate


@dataclass(frozen=True, slots=True)
class Recheck:
    """A claim with its difference before and today. margins: of the change, and of the difference of today."""

    claim: ClaimStatus
    before: float
    today: float
    change_margin: float
    own_margin: float
    is_lost: bool


@dataclass(frozen=True, slots=True)
class Drift:
    """A cell whose mean today is outside the noise of the store."""

    cell: str
    metric: str
    before: float
    today: float
    margin: float


def recheck(claims: Sequence[Before], today: Mapping[str, Sequence[Entry]]) -> list[Recheck]:
    """Compare shown claims with entries of today, by `table/row`; a claim without runs of both rows is left out."""
    pairs = [[read_values(before, row, today) for row in _rows(before.claim.effect)] for before in claims]
    complete = [(before, pair[0], pair[1]) for before, pair in zip(claims, pairs, strict=True) if all(pair)]
    return [_recheck(before, better, worse, LEVEL / len(complete)) for before, better, worse in complete]


def _recheck(before: Before, better: Sequence[float], worse: Sequence[float], level: float) -> Recheck:
    noise, effect = before.noise, before.claim.effect
    sign = -1.0 if effect.metric in before.claim.table.lower else 1.0
    difference = sign * (before.better.mean - before.worse.mean)
    today = sign * (mean(better) - mean(worse))
    own = sqrt(1 / len(better) + 1 / len(worse))
    both = sqrt(own**2 + 1 / before.better.n + 1 / before.worse.n)
    own_margin, change_margin = (t_isf(level, noise.df) * noise.sd * scale for scale in (own, both))
    if effect.kind == "equal":
        tolerance = max(effect.tolerance, abs(difference))
        is_lost = abs(today) - own_margin > tolerance
    else:
        is_lost = today < difference - change_margin and today < own_margin
    return Recheck(before.claim, difference, today, change_margin, own_margin, is_lost)


def find_drift(claims: Sequence[Before], today: Mapping[str, Sequence[Entry]]) -> list[Drift]:
    """Return the cells of some claims whose mean today is outside the noise of the store, each cell and metric once."""
    cells = {}
    for before in claims:
        claim = before.claim
        for row, sample in zip(_rows(claim.effect), (before.better, before.worse), strict=True):
            values = read_values(before, row, today)
            if values:
                cells[f"{claim.table.name}/{row}", claim.effect.metric] = (sample, values, before.noise)
    drifted = []
    for (cell, metric), (sample, values, noise) in cells.items():
        error = noise.sd * sqrt(1 / sample.n + 1 / len(values))
        margin = t_isf(LEVEL / (2 * len(cells)), noise.df) * error
        if abs(mean(values) - sample.mean) > margin:
            drifted.append(Drift(cell, metric, sample.mean, mean(values), margin))
    return drifted


def read_values(before: Before, row: str, today: Mapping[str, Sequence[Entry]]) -> list[float]:
    """Return the values of a claim's metric in the finished runs of a row."""
    entries = today.get(f"{before.claim.table.name}/{row}", ())
    values = [entry.metrics.get(before.claim.effect.metric) for entry in entries if entry.status == "finished"]
    return [value for value in values if value is not None]


def _rows(effect: Effect) -> tuple[str, str]:
    return effect.better, effect.worse
