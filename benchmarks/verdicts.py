"""Error rates and power of verdicts, from 10,000 simulated tables per line, by the rules of before and of today.

python benchmarks/verdicts.py      writes benchmarks/results/verdicts.md; a minute of one core

Both rules are written out here with arrays; tests/tables/test_rates.py holds `judge_today` to the code itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from lineage.tables.statistics.pooled_noise import CORRELATED, PAIRED_DF, PRIOR_DF, SMALLEST_DF
from lineage.tables.statistics.sequential import compute_share

ROOT = Path(__file__).parents[1]
TABLES, ALPHA, TOLERANCE = 10_000, 0.05, 0.5
PUBLISHED_SD = 0.15  # that the rules of before used for every metric of COCO
PLUS, MINUS, INSIDE, OUTSIDE = 1, -1, 2, -2  # outcomes; 0 is undecided

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Scenario:
    """Tables of one kind: rows with true means, and claims about them."""

    name: str
    means: tuple[float, ...]  # of the rows
    orders: tuple[tuple[int, int], ...] = ()  # pairs of rows: a better than b
    equals: tuple[tuple[int, int], ...] = ()
    numbers: tuple[tuple[int, float], ...] = ()  # row, the mean of the experiment whose single run was published
    seeds: int = 3
    sd: float | tuple[float, ...] = 0.3  # of a run, or one per row
    shared_sd: float = 0.0  # of what a seed does to all rows alike
    prior: float | None = None  # published standard deviation; None: at tier mini
    any_reading: bool = False  # count a table if it is decided at any number of seeds up to `seeds`

    @property
    def count(self) -> int:
        return len(self.orders) + len(self.equals) + len(self.numbers)


def simulate(scenario: Scenario, tables: int, seed: int = 0) -> tuple[Floats, Floats]:
    """Return values [tables, rows, seeds] and published numbers [tables, numbers]."""
    chance = np.random.default_rng(seed)
    rows = len(scenario.means)
    sd = np.broadcast_to(scenario.sd, (rows,))
    noise = chance.standard_normal((tables, rows, scenario.seeds)) * sd[:, None]
    shared = chance.standard_normal((tables, 1, scenario.seeds)) * scenario.shared_sd
    published = [mean + chance.standard_normal(tables) * sd[row] for row, mean in scenario.numbers]
    return np.array(scenario.means)[:, None] + noise + shared, np.array(published).reshape(-1, tables).T


def judge_today(scenario: Scenario, values: Floats, published: Floats) -> Ints:
    """Return the outcome of each claim [tables, claims]: orders, equalities, then numbers."""
    best = np.ones((len(values), scenario.count))
    outcome = np.zeros(best.shape, np.int64)
    noise = _estimate_noise(scenario, values)
    for n in range(1, values.shape[2] + 1):
        share, first = compute_share(n, ALPHA / (2 * scenario.count)), values[:, :, :n]
        now = _test_today(scenario, values, published, noise, n)
        then = _test_today(scenario, first, published, _estimate_noise(scenario, first), n)
        for claim, pairs in enumerate(zip(now, then, strict=True)):
            for (name, p), (_, before) in zip(*pairs, strict=False):
                is_number = claim >= scenario.count - len(scenario.numbers)
                corrected = np.minimum(1.0, (p if is_number else np.maximum(p, before)) / share)
                outcome[:, claim] = np.where(corrected < best[:, claim], name, outcome[:, claim])
                best[:, claim] = np.minimum(best[:, claim], corrected)
    return np.where(adjust_holm(best) <= ALPHA, outcome, 0)


@dataclass(frozen=True)
class Noise:
    """Variances of a run, one per table, with their degrees of freedom."""

    pooled: Floats
    freedom: Ints
    of_rows: Floats  # [tables, rows]
    residual: Floats  # beside the effect of seeds
    paired: NDArray[np.bool_]  # whether seeds have one
    paired_freedom: Ints


def _estimate_noise(scenario: Scenario, values: Floats) -> Noise | None:
    tables, rows, n = values.shape
    means = values.mean(2)
    # 1. The noise of a run: pooled over rows, with the prior.
    of_rows = ((values - means[:, :, None]) ** 2).sum(2)
    squares, df = of_rows.sum(1), rows * (n - 1)
    prior_df = PRIOR_DF if scenario.prior is not None else 0
    if df + prior_df < SMALLEST_DF:
        return None
    prior_variance = (scenario.prior or 0.0) ** 2
    variance = (squares + prior_df * prior_variance) / (df + prior_df)
    above = (squares > df * prior_variance) & (df >= SMALLEST_DF)
    variance = np.where(above, squares / max(1, df), variance)
    freedom = np.where(above, df, df + prior_df)
    # 2. Pairs, where seeds have an effect.
    paired, residual = np.zeros(tables, bool), variance
    if n >= 3 and (rows - 1) * (n - 1) >= PAIRED_DF:
        centered = values - means[:, :, None]
        effect = centered.mean(1, keepdims=True)
        residual = ((centered - effect) ** 2).sum((1, 2)) / ((rows - 1) * (n - 1))
        ratio = rows * (effect**2).sum((1, 2)) / (n - 1) / residual
        paired = stats.f.sf(ratio, n - 1, (rows - 1) * (n - 1)) <= CORRELATED
    paired_freedom = np.where(paired, (rows - 1) * (n - 1), freedom)
    return Noise(variance, freedom, of_rows / max(1, n - 1), residual, paired, paired_freedom)


def _test_today(
    scenario: Scenario, values: Floats, published: Floats, noise: Noise | None, n: int
) -> list[list[tuple[Ints | int, Floats]]]:
    """Compare the means of the first `n` seeds; the noise of the rows at hand counts if it is larger."""
    if noise is None:
        return [[] for _ in range(scenario.count)]
    means, seeds = values[:, :, :n].mean(2), values.shape[2]
    candidates: list[list[tuple[Ints | int, Floats]]] = []
    for claim, (a, b) in enumerate((*scenario.orders, *scenario.equals)):
        own = (noise.of_rows[:, a] + noise.of_rows[:, b]) / 2
        of_pairs = (values[:, a] - values[:, b]).var(1) * seeds / max(1, seeds - 1) / 2
        paired, pooled = np.maximum(noise.residual, of_pairs), np.maximum(noise.pooled, own)
        error = np.sqrt(2 / n * np.where(noise.paired, paired, pooled))
        d = means[:, a] - means[:, b]
        if claim < len(scenario.orders):
            candidates.append([(np.where(d > 0, PLUS, MINUS), 2 * stats.t.sf(abs(d) / error, noise.paired_freedom))])
        else:
            candidates.append(_test_size(d, error, noise.paired_freedom))
    for i, (row, _) in enumerate(scenario.numbers):
        error = np.sqrt(np.maximum(noise.pooled, noise.of_rows[:, row]) * (1 / n + 1))
        candidates.append(_test_size(means[:, row] - published[:, i], error, noise.freedom))
    return candidates


def _test_size(d: Floats, error: Floats, freedom: Floats) -> list[tuple[Ints | int, Floats]]:
    inside = stats.t.sf((TOLERANCE - abs(d)) / error, freedom)
    return [(INSIDE, inside), (OUTSIDE, np.minimum(1.0, 2 * stats.t.sf((abs(d) - TOLERANCE) / error, freedom)))]


def judge_before(scenario: Scenario, values: Floats, published: Floats) -> Ints:
    """Return the same by the rules of before 2026-11-26: pairs from three seeds on, numbers by a point estimate."""
    n = values.shape[2]
    means = values.mean(2)
    noise = PUBLISHED_SD if scenario.prior is not None else None
    p_values: list[Floats] = []
    outcomes: list[Ints] = []
    for claim, (a, b) in enumerate((*scenario.orders, *scenario.equals)):
        differences = values[:, a] - values[:, b]
        d = differences.mean(1)
        if n >= 3:
            error, freedom = differences.std(1, ddof=1) / np.sqrt(n), n - 1.0
        elif noise is not None:
            error, freedom = np.full(len(d), noise * np.sqrt(2 / n)), np.inf
        else:
            p_values.append(np.ones(len(d)))
            outcomes.append(np.zeros(len(d), np.int64))
            continue
        if claim < len(scenario.orders):
            p_values.append(2 * stats.t.sf(abs(d) / error, freedom))
            outcomes.append(np.where(d > 0, PLUS, MINUS))
        else:
            (_, inside), (_, outside) = _test_size(d, error, np.full(len(d), freedom))
            p_values.append(np.minimum(inside, outside))
            outcomes.append(np.where(inside < outside, INSIDE, OUTSIDE))
    relations = _decide(p_values, outcomes)
    p_values, outcomes = [], []
    for i, (row, _) in enumerate(scenario.numbers):
        d = means[:, row] - published[:, i]
        own = values[:, row].std(1, ddof=1) if n >= 3 else np.full(len(d), PUBLISHED_SD)
        if n < 3:
            error, freedom = own * np.sqrt(1 / n + 1), np.full(len(d), np.inf)
        else:
            larger = np.maximum(own, PUBLISHED_SD)
            error = np.sqrt(own**2 / n + larger**2)
            freedom = np.where(own >= PUBLISHED_SD, n - 1, error**4 / ((own**2 / n) ** 2 / (n - 1)))
        beyond = np.minimum(1.0, 2 * stats.t.sf((abs(d) - TOLERANCE) / error, freedom))
        p_values.append(np.where(abs(d) <= TOLERANCE, np.where(error <= TOLERANCE, 0.0, 1.0), beyond))
        outcomes.append(np.where(abs(d) <= TOLERANCE, INSIDE, OUTSIDE))
    numbers = _decide(p_values, outcomes)
    return np.concatenate([one for one in (relations, numbers) if one.size], axis=1)


def _decide(p_values: list[Floats], outcomes: list[Ints]) -> Ints:
    if not p_values:
        return np.zeros((0, 0), np.int64)
    return np.where(adjust_holm(np.stack(p_values, 1)) <= ALPHA, np.stack(outcomes, 1), 0)


def adjust_holm(p: Floats) -> Floats:
    """Return p values [tables, claims] corrected for the claims of a table."""
    order = np.argsort(p, axis=1)
    steps = p.shape[1] - np.arange(p.shape[1])
    ascending = np.maximum.accumulate(np.minimum(1.0, np.take_along_axis(p, order, 1) * steps), axis=1)
    adjusted = np.empty_like(p)
    np.put_along_axis(adjusted, order, ascending, axis=1)
    return adjusted


def find_true_outcomes(scenario: Scenario) -> list[set[int]]:
    """Return the outcomes of each claim that are true."""
    signs = [scenario.means[a] - scenario.means[b] for a, b in scenario.orders]
    sizes = [abs(scenario.means[a] - scenario.means[b]) for a, b in scenario.equals]
    sizes += [abs(scenario.means[row] - mean) for row, mean in scenario.numbers]
    true = [{PLUS} if d > 0 else {MINUS} if d < 0 else set() for d in signs]
    return true + [{INSIDE} if d < TOLERANCE else {OUTSIDE} if d > TOLERANCE else set() for d in sizes]


def measure(scenario: Scenario, tables: int = TABLES) -> dict[str, tuple[float, float]]:
    """Return, by rules, how many tables have a false verdict, and how many claims have the true one."""
    values, published = simulate(scenario, tables)
    true = find_true_outcomes(scenario)
    rates = {}
    for name, judge in (("before", judge_before), ("today", judge_today)):
        readings = range(1, scenario.seeds + 1) if scenario.any_reading else [scenario.seeds]
        outcomes = [judge(scenario, values[:, :, :n], published) for n in readings]
        wrong = np.zeros(tables, bool)
        for one in outcomes:
            for claim, possible in enumerate(true):
                wrong |= (one[:, claim] != 0) & ~np.isin(one[:, claim], list(possible))
        decidable = [np.isin(outcomes[-1][:, i], list(possible)) for i, possible in enumerate(true) if possible]
        right = np.mean(decidable) if decidable else 0.0
        rates[name] = (float(wrong.mean()), float(right))
    return rates


STAR = tuple((0, i) for i in range(1, 6))  # five claims about six rows
ZERO = (27.0,) * 6
COCO = 0.185
FALSE = (
    *(Scenario("no effect, 5 orders, tier mini", ZERO, STAR, seeds=n) for n in (3, 5)),
    *(Scenario("no effect, 5 orders, tier paper", ZERO, STAR, seeds=n, sd=COCO, prior=COCO) for n in (1, 2, 3)),
    *(Scenario("the same, but the noise is 1.6 times the published", ZERO, STAR, seeds=n, prior=COCO) for n in (1, 3)),
    Scenario("no effect, but the noise of one row is twice that of the others", ZERO, STAR, sd=(0.6, *(0.3,) * 5)),
    Scenario("no effect, runs of a seed move together", ZERO, STAR, shared_sd=0.6),
    Scenario("no effect, 5 orders, read at 1 to 10 seeds", ZERO, STAR, seeds=10, any_reading=True),
    Scenario("no effect, 1 order, read at 1 to 10 seeds", (27.0,) * 2, ((0, 1),), seeds=10, any_reading=True),
    Scenario("one order of six rows, read at 1 to 10 seeds", ZERO, ((0, 1),), seeds=10, any_reading=True),
    *(Scenario("1 equality, truly as far off as the tolerance", (27.5, *ZERO[1:]), (), ((0, 1),), seeds=n)
      for n in (3, 5)),
    *(Scenario("1 number, truly .6 off, tolerance .5", ZERO, (), (), ((0, 27.6),), seeds=n, sd=0.15, prior=0.15)
      for n in (1, 3)),
    Scenario("1 number, truly as far off as the tolerance, read at 1 to 10 seeds", (27.0,) * 2, (), (), ((0, 27.5),),
             seeds=10, sd=0.15, prior=0.15, any_reading=True),
    *(Scenario("10 numbers, truly .6 off, tolerance .5", (27.0,) * 10, (), (), tuple((i, 27.6) for i in range(10)),
               seeds=n, sd=0.15, prior=0.15) for n in (1, 3)),
    Scenario("10 numbers, truly as far off as the tolerance", (27.0,) * 10, (), (),
             tuple((i, 27.5) for i in range(10)), sd=0.15, prior=0.15),
    *(Scenario("5 numbers .6 off, 3 orders without effect, 2 equalities at the tolerance",
               (27.0, 27.0, 27.0, 27.0, 27.5, 26.5), ((0, 1), (0, 2), (0, 3)), ((0, 4), (0, 5)),
               (*((i, 27.6) for i in range(4)), (4, 28.1)), seeds=n, sd=0.15, prior=0.15) for n in (1, 3, 5)),
)  # fmt: skip
GAIN = (28.0, *ZERO[1:])
POWER = (
    *(Scenario("1 order, .8 AP, sd .15, tier paper", (27.8, 27.0), ((0, 1),), seeds=n, sd=0.15, prior=0.15)
      for n in (1, 2, 3, 4)),
    *(Scenario("5 orders, 1 AP, sd .3, tier mini", GAIN, STAR, seeds=n) for n in (2, 3, 4, 5)),
    *(Scenario("5 orders, only one of them true, 1 AP, sd .3, tier mini", (27.0,) * 5 + (26.0,), STAR, seeds=n)
      for n in (3, 5, 8)),
    *(Scenario("5 orders, 1 AP, sd .3, runs of a seed move together", GAIN, STAR, shared_sd=0.6, seeds=n)
      for n in (3, 5)),
    *(Scenario("1 order, .5 AP, sd .3, tier mini", (27.5, *ZERO[1:]), ((0, 1),), seeds=n) for n in (3, 5, 8, 12)),
    *(Scenario("2 equalities, truly equal, tolerance .5, sd .15, tier paper", ZERO, (), ((0, 1), (2, 3)), seeds=n,
               sd=0.15, prior=0.15) for n in (1, 3, 5)),
    *(Scenario("1 number, truly equal, sd .15", ZERO, (), (), ((0, 27.0),), seeds=n, sd=0.15, prior=0.15)
      for n in (1, 3, 5)),
    *(Scenario("10 numbers, truly equal, sd .15", (27.0,) * 10, (), (), tuple((i, 27.0) for i in range(10)), seeds=n,
               sd=0.15, prior=0.15) for n in (3, 10)),
)  # fmt: skip


def main() -> None:
    error = 100 * (ALPHA * (1 - ALPHA) / TABLES) ** 0.5
    parts = ["# Error rates and power of verdicts\n",
        f"{TABLES:,} simulated tables per line, percent; Monte Carlo standard error {error:.2f} at 5 %, at most 0.5.\n"
        "`before` is the method of before 2026-11-26: docs/tables.md. Written by `python benchmarks/verdicts.py`.\n",
        "## Tables with a false verdict: 5 are promised\n"]  # fmt: skip
    parts += ["| tables | seeds | before | today |", "| --- | ---: | ---: | ---: |"]
    for scenario in FALSE:
        rates = measure(scenario)
        parts.append(f"| {scenario.name} | {scenario.seeds} | {_percent(rates, 0)} |")
    parts += ["\n## Claims with the true verdict\n", "| claims | seeds | before | today |",
              "| --- | ---: | ---: | ---: |"]  # fmt: skip
    for scenario in POWER:
        parts.append(f"| {scenario.name} | {scenario.seeds} | {_percent(measure(scenario), 1)} |")
    text = "\n".join(parts) + "\n"
    (ROOT / "benchmarks" / "results" / "verdicts.md").write_text(text)
    print(text)


def _percent(rates: dict[str, tuple[float, float]], which: int) -> str:
    return " | ".join(f"{100 * rates[name][which]:.1f}" for name in ("before", "today"))


if __name__ == "__main__":
    main()
