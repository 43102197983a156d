"""Two samples of runs compared: the size of the difference, and its significance.

Rows that ran the same seeds are compared seed by seed (a paired t test): what a seed does to both rows cancels. Rows
that ran different seeds are compared by Welch's test. With fewer than three runs of a row its own spread is unknown,
and the published one of the dataset is used. All intervals are two-sided.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, sqrt

from lineage.tables.statistics import seed_noise
from lineage.tables.statistics.seed_noise import ENOUGH, PublishedNoise, SeedSample
from lineage.tables.statistics.student_t import ALPHA, compute_required_pairs, t_isf, t_sf

PAIRED, UNPAIRED, BY_PUBLISHED = "paired", "unpaired", "published noise"


@dataclass(frozen=True)
class Comparison:
    """A difference of two means, with its tests. Each p is the chance of such data if the null hypothesis is true."""

    difference: float  # a minus b
    standard_error: float
    df: float  # degrees of freedom
    sd: float  # of the difference of one run of each
    n: int  # pairs, or the runs of the smaller sample
    test: str
    source: str = ""  # of a published noise

    def margin(self, level: float = ALPHA) -> float:
        """Return half the confidence interval, which misses the true difference in `level` of all cases."""
        return t_isf(level / 2, self.df) * self.standard_error

    def p_different(self) -> float:
        """p of the hypothesis that the means are equal."""
        return min(1.0, 2 * self._tail(abs(self.difference)))

    def p_equivalent(self, target: float, tolerance: float) -> float:
        """p of the hypothesis that the true difference is further than `tolerance` from `target` (TOST)."""
        return self._tail(tolerance - abs(self.difference - target))

    def p_beyond_tolerance(self, target: float, tolerance: float) -> float:
        """p of the hypothesis that the true difference is within `tolerance` of `target`."""
        return min(1.0, 2 * self._tail(abs(self.difference - target) - tolerance))

    def _tail(self, distance: float) -> float:
        if self.standard_error == 0:  # runs that repeat each other bit by bit
            return 0.0 if distance > 0 else 0.5 if distance == 0 else 1.0
        return t_sf(distance / self.standard_error, self.df)

    def additional_runs(self, effect: float, level: float) -> int | None:
        """Return how many more runs of each row would find a true `effect`; None if it cannot be computed."""
        if effect <= 0 or self.sd == 0:
            return None
        return max(1, compute_required_pairs(round(effect, 6), round(self.sd, 6), level) - self.n)


def compare(a: SeedSample, b: SeedSample, dataset: str) -> Comparison | None:
    """Return a minus b, or None if no estimate of the noise exists.

    That is with fewer than ENOUGH runs of a or b and no published noise of `dataset`; "" uses no published noise.
    """
    seeds = set(b.seeds)
    shared = [seed for seed in a.seeds if seed in seeds]
    if len(shared) >= ENOUGH:
        return _compare_pairs(
            dict(zip(a.seeds, a.values, strict=True)), dict(zip(b.seeds, b.values, strict=True)), shared
        )
    if min(a.n, b.n) >= ENOUGH:
        return _compare_welch(a, b)
    noise = seed_noise.find_published(dataset)
    return _compare_by_noise(noise, a.mean - b.mean, a.n, b.n) if noise else None


def compare_to_number(sample: SeedSample, value: float, sd: float | None, runs: int, dataset: str) -> Comparison | None:
    """Return the sample minus a published number, or None if no estimate of the noise exists.

    `value`, `sd`: mean and standard deviation of `runs` published runs. If `sd` is None, the noise is the larger of
    the sample's own and the one published for `dataset`.
    """
    noise, difference = seed_noise.find_published(dataset), sample.mean - value
    if sample.n < ENOUGH:
        return _compare_by_noise(noise, difference, sample.n, runs) if noise else None
    own = sample.sd or 0.0
    if sd is None and (noise is None or noise.sd <= own):
        error = own * sqrt(1 / sample.n + 1 / runs)
        return Comparison(difference, error, sample.n - 1, own * sqrt(2), sample.n, UNPAIRED)
    published, df = (sd, runs - 1) if sd is not None and runs > 1 else (sd or noise.sd, inf)  # type: ignore[union-attr]
    error, df = _satterthwaite(own**2 / sample.n, sample.n - 1, published**2 / runs, df)
    return Comparison(difference, error, df, sqrt(own**2 + published**2), sample.n, UNPAIRED)


def _compare_pairs(a: dict[int, float], b: dict[int, float], seeds: list[int]) -> Comparison:
    differences = [a[seed] - b[seed] for seed in seeds]
    n, sd = len(seeds), seed_noise.sd(differences)
    return Comparison(seed_noise.mean(differences), sd / sqrt(n), n - 1, sd, n, PAIRED)


def _compare_welch(a: SeedSample, b: SeedSample) -> Comparison:
    variance_a, variance_b = ((sample.sd or 0.0) ** 2 for sample in (a, b))
    error, df = _satterthwaite(variance_a / a.n, a.n - 1, variance_b / b.n, b.n - 1)
    return Comparison(a.mean - b.mean, error, df, sqrt(variance_a + variance_b), min(a.n, b.n), UNPAIRED)


def _satterthwaite(variance_a: float, df_a: float, variance_b: float, df_b: float) -> tuple[float, float]:
    """Return the standard error and the degrees of freedom of a difference of two means of these variances."""
    shares = variance_a**2 / df_a + variance_b**2 / df_b
    return sqrt(variance_a + variance_b), (variance_a + variance_b) ** 2 / shares if shares else inf


def _compare_by_noise(noise: PublishedNoise, difference: float, n: int, m: int) -> Comparison:
    error = noise.sd * sqrt(1 / n + 1 / m)
    return Comparison(difference, error, inf, noise.sd * sqrt(2), min(n, m), BY_PUBLISHED, noise.source)


def adjust_holm(values: list[float]) -> list[float]:
    """Return p values corrected for their number (Holm): a level then holds for all of them together."""
    adjusted, largest, count = [0.0] * len(values), 0.0, len(values)
    for rank, i in enumerate(sorted(range(count), key=lambda i: values[i])):
        largest = max(largest, min(1.0, (count - rank) * values[i]))
        adjusted[i] = largest
    return adjusted
