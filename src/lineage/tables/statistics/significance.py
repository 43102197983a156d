"""Two samples of runs compared: the size of the difference, and its significance.

Runs are compared by Student's t with the noise of the whole table (pooled_noise.py); rows whose runs of one seed move
together are compared seed by seed. All intervals are two-sided.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, inf, sqrt
from typing import NamedTuple

from lineage.tables.statistics.pooled_noise import NoiseEstimate, TableNoise, pool_sd
from lineage.tables.statistics.seed_noise import ENOUGH, SeedSample, mean, sd
from lineage.tables.statistics.student_t import ALPHA, POWER, nct_sf, t_isf, t_sf

PAIRED, UNPAIRED = "paired", "unpaired"
SEEDS, IMAGES = "seeds", "images"  # the noises that an interval may contain
IMAGE_DF = 199  # degrees of freedom of a bootstrap with 200 draws of images
MAX_RUNS = 1000  # the search for a number of seeds ends here


class RequiredSeeds(NamedTuple):
    """Seeds of each row that settle a question, for the noise as estimated and for both ends of its interval.

    None: no number is enough.
    """

    best: int | None
    low: int | None
    high: int | None


class PublishedNumber(NamedTuple):
    """The mean of published runs."""

    value: float
    sd: float | None  # between runs; None is unknown: then our runs' counts
    runs: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """A difference of two means, with its tests. Each p is the chance of such data if the null hypothesis is true."""

    difference: float  # a minus b
    standard_error: float
    df: float  # degrees of freedom
    n: int  # pairs, or the runs of the smaller sample
    noise: NoiseEstimate  # of one run
    test: str = UNPAIRED
    fixed_variance: float = 0.0  # the part of the squared standard error that more seeds leave as it is
    noises: tuple[str, ...] = (SEEDS,)

    def add_images(self, variance: float | None) -> Comparison:
        """Return the comparison with the variance of the test images beside that of seeds; None: it is not known."""
        if variance is None:
            return self
        error, df = add_variances(self.standard_error**2, self.df, variance, IMAGE_DF)
        fixed = self.fixed_variance + variance
        return replace(self, standard_error=error, df=df, fixed_variance=fixed, noises=(SEEDS, IMAGES))

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

    def compute_required_seeds(self, distance: float, level: float) -> RequiredSeeds:
        """Return how many seeds of each row a one-sided test at `level` needs to find `distance`, with 80 % power."""
        if distance <= 0:
            return RequiredSeeds(None, None, None)
        low, high = self.noise.interval()
        return RequiredSeeds(*(self._search(distance, level, sd) for sd in (self.noise.sd, low, high)))

    def _search(self, distance: float, level: float, sd: float) -> int | None:
        scale = self.n * (self.standard_error**2 - self.fixed_variance) / self.noise.sd**2 if self.noise.sd else 0.0
        ratio = (sd / self.noise.sd) ** 2 if self.noise.sd else 1.0

        def is_enough(n: int) -> bool:
            error = sqrt(scale * sd**2 / n + self.fixed_variance * ratio)
            df = self.df + 2 * max(0, n - self.n)
            return error == 0 or nct_sf(t_isf(level, df), df, distance / error) >= POWER

        if not is_enough(MAX_RUNS):
            return None
        low, high = 0, MAX_RUNS
        while high - low > 1:
            middle = ceil((low + high) / 2)
            low, high = (low, middle) if is_enough(middle) else (middle, high)
        return high


def compare(
    a: SeedSample, b: SeedSample, noise: TableNoise, rows: tuple[str, str] = ("", ""), first: int | None = None
) -> Comparison | None:
    """Return a minus b, or None if no estimate of the noise exists.

    rows: their names, to look up pairs.
    first: compare the means of so many seeds; the noise is that of all.
    """
    paired = noise.find_paired(*rows)
    shared = [seed for seed in a.by_seed if seed in b.by_seed] if paired else []
    if paired is not None and len(shared) >= ENOUGH:
        differences = [a.by_seed[seed] - b.by_seed[seed] for seed in shared]
        single, n = paired.at_least(sd(differences) / sqrt(2)), min(first or len(shared), len(shared))
        return Comparison(mean(differences[:n]), single.sd * sqrt(2 / n), single.df, n, single, PAIRED)
    if noise.single is None:
        return None
    single = noise.single.at_least(pool_sd(a, b))
    a, b = a.first(first or a.n), b.first(first or b.n)
    error = single.sd * sqrt(1 / a.n + 1 / b.n)
    return Comparison(a.mean - b.mean, error, single.df, min(a.n, b.n), single)


def compare_to_number(
    sample: SeedSample, number: PublishedNumber, noise: TableNoise, first: int | None = None
) -> Comparison | None:
    """Return the sample minus a published number, or None if no estimate of the noise exists.

    first: compare the mean of so many seeds; the noise is that of all.
    """
    value, spread, runs = number
    if noise.single is None:
        return None
    single, sample = noise.single.at_least(sample.sd or 0.0), sample.first(first or sample.n)
    own = single.sd**2 / sample.n
    if spread is not None and runs > 1:
        published = spread**2 / runs
        error, df = add_variances(own, single.df, published, runs - 1)
    else:
        published = (single.sd if spread is None else spread) ** 2 / runs
        error, df = sqrt(own + published), single.df
    return Comparison(sample.mean - value, error, df, sample.n, single, UNPAIRED, published)


def add_variances(variance_a: float, df_a: float, variance_b: float, df_b: float) -> tuple[float, float]:
    """Return the standard error and Satterthwaite's degrees of freedom of the sum of two variances."""
    shares = variance_a**2 / df_a + variance_b**2 / df_b
    return sqrt(variance_a + variance_b), (variance_a + variance_b) ** 2 / shares if shares else inf


def adjust_holm(values: list[float]) -> list[float]:
    """Return p values corrected for their number (Holm): a level then holds for all of them together."""
    adjusted, largest, count = [0.0] * len(values), 0.0, len(values)
    for rank, i in enumerate(sorted(range(count), key=lambda i: values[i])):
        largest = max(largest, min(1.0, (count - rank) * values[i]))
        adjusted[i] = largest
    return adjusted


def find_levels(values: list[float]) -> list[float]:
    """Return the level at which Holm's procedure tested each hypothesis: an interval at it agrees with the verdict."""
    adjusted, count = adjust_holm(values), len(values)
    ranks = {i: rank for rank, i in enumerate(sorted(range(count), key=lambda i: values[i]))}
    rejected = sum(p <= ALPHA for p in adjusted)
    return [ALPHA / (count - min(ranks[i], rejected)) for i in range(count)]
