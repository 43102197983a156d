"""The noise of one run, estimated from all rows of a table together.

Three runs of one row estimate its standard deviation badly: within a factor of 4. The rows of a table differ in one
factor and share their noise, so their variances are pooled, weighted by their degrees of freedom. What others measured
is a prior, with few degrees of freedom (the scaled inverse chi-square prior of a variance: Gelman et al., Bayesian Data
Analysis, section 2.6), so one run has a noise as well, and the table's own runs outweigh it soon.

Rows may differ in their noise all the same, and a prior may be of other models. So where the rows that are compared
have more noise than the table, theirs counts: NoiseEstimate.at_least.

Runs are paired by seed only where seeds have an effect: an analysis of variance of rows and seeds finds it at 1 %, or
the rows test the same checkpoints.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import fsum, sqrt

from lineage.tables.statistics.seed_noise import ENOUGH, SeedSample, mean
from lineage.tables.statistics.student_t import chi2_isf, f_sf

SMALLEST_DF = 3  # of an estimate that counts
CORRELATED = 0.01  # level at which the effect of seeds has to be found
PAIRED_DF = 4  # degrees of freedom that pairs need
PRIOR_DF = 8  # at most, of a prior: noises that were measured on one dataset differ by about a quarter
TAIL = 0.1  # tail of an 80 % interval


@dataclass(frozen=True, slots=True)
class NoiseEstimate:
    """The standard deviation of a metric between single runs, with its degrees of freedom."""

    sd: float
    df: float
    source: str

    def at_least(self, sd: float) -> NoiseEstimate:
        """Return this estimate, or the noise of the rows at hand if that is larger."""
        return self if sd <= self.sd else NoiseEstimate(sd, self.df, f"these rows, noisier than {self.source}")

    def interval(self) -> tuple[float, float]:
        """Return the 80 % confidence interval of the standard deviation."""
        low, high = (self.sd * sqrt(self.df / chi2_isf(p, self.df)) for p in (TAIL, 1 - TAIL))
        return low, high


@dataclass(frozen=True, slots=True)
class PairedRows:
    """Rows whose runs of one seed move together, with the noise of a run beside that movement."""

    rows: frozenset[str]
    noise: NoiseEstimate


@dataclass(frozen=True, slots=True)
class TableNoise:
    """The noise of one metric in one setting of a table. `single` is None if nothing is known."""

    single: NoiseEstimate | None
    paired: Sequence[PairedRows] = field(default=())

    def find_paired(self, a: str, b: str) -> NoiseEstimate | None:
        """Return the noise of a run beside the effect of its seed, if two rows are paired."""
        return next((group.noise for group in self.paired if {a, b} <= group.rows), None)


def estimate_noise(samples: Mapping[str, SeedSample], prior: NoiseEstimate | None) -> TableNoise:
    """Return the noise of one metric in one setting from the samples of all rows."""
    by_training: dict[str, dict[str, SeedSample]] = defaultdict(dict)
    for row, sample in samples.items():
        by_training[sample.training or row][row] = sample
    shared = [group for group in by_training.values() if len(group) > 1]
    candidates = [find_paired_rows(group, always=True) for group in shared]
    candidates.append(find_paired_rows({row: group[row] for group in by_training.values() for row in list(group)[:1]}))
    return TableNoise(combine(pool(by_training.values()), prior), [group for group in candidates if group is not None])


def pool(groups: Iterable[Mapping[str, SeedSample]]) -> NoiseEstimate | None:
    """Return the pooled noise of groups of rows; rows that test the same checkpoints are one group and count once."""
    sums = [_sum_squares(list(group.values())) for group in groups]
    df = sum(df_of_group for _, df_of_group in sums)
    if df == 0:
        return None
    return NoiseEstimate(sqrt(fsum(square for square, _ in sums) / df), df, f"all rows here ({df} df)")


def _sum_squares(group: list[SeedSample]) -> tuple[float, int]:
    """Return the degrees of freedom of the longest sample, and the mean variance times them."""
    variances = [sample.sd**2 for sample in group if sample.sd is not None]
    df = max(sample.n for sample in group) - 1
    return (mean(variances) * df, df) if variances else (0.0, 0)


def combine(own: NoiseEstimate | None, prior: NoiseEstimate | None) -> NoiseEstimate | None:
    """Return the weighted mean of two variances; a prior has at most PRIOR_DF degrees of freedom.

    A prior never makes the noise smaller than it was measured here.
    """
    if prior is None:
        return own if own is not None and own.df >= SMALLEST_DF else None
    df = min(prior.df, PRIOR_DF)
    if own is None:
        return NoiseEstimate(prior.sd, df, prior.source)
    if own.sd > prior.sd and own.df >= SMALLEST_DF:
        return own
    variance = (own.df * own.sd**2 + df * prior.sd**2) / (own.df + df)
    return NoiseEstimate(sqrt(variance), own.df + df, f"{own.source} and {prior.source}")


def find_paired_rows(samples: Mapping[str, SeedSample], always: bool = False) -> PairedRows | None:
    """Return the rows with enough seeds, with their noise beside the effect of seeds; None if seeds have no effect.

    A two-way analysis of variance of rows and seeds without replication. `always`: without a test of the effect.
    """
    rows = {row: sample.by_seed for row, sample in samples.items() if len(sample.seeds) >= ENOUGH}
    shared = set.intersection(*map(set, rows.values())) if rows else set()
    seeds = sorted(shared)
    if len(rows) < 2 or len(seeds) < ENOUGH:
        return None
    # 1. Each run minus the mean of its row; the mean of a seed over rows is then the effect of the seed.
    centered = {row: _center([values[seed] for seed in seeds]) for row, values in rows.items()}
    effects = [mean([values[i] for values in centered.values()]) for i in range(len(seeds))]
    # 2. Sums of squares.
    of_seeds = len(rows) * fsum(effect**2 for effect in effects)
    residual = fsum((value - effects[i]) ** 2 for values in centered.values() for i, value in enumerate(values))
    df = (len(rows) - 1) * (len(seeds) - 1)
    if df < PAIRED_DF and not always:
        return None
    # 3. F test.
    ratio = of_seeds / (len(seeds) - 1) / (residual / df) if residual else float("inf") if of_seeds else 0.0
    if not always and f_sf(ratio, len(seeds) - 1, df) > CORRELATED:
        return None
    return PairedRows(frozenset(rows), NoiseEstimate(sqrt(residual / df), df, f"pairs of equal seeds here ({df} df)"))


def pool_sd(*samples: SeedSample) -> float:
    """Return the pooled standard deviation of samples; 0 if all are single runs."""
    df = sum(sample.n - 1 for sample in samples)
    return sqrt(fsum((sample.n - 1) * (sample.sd or 0.0) ** 2 for sample in samples) / df) if df else 0.0


def _center(values: list[float]) -> list[float]:
    center = mean(values)
    return [value - center for value in values]
