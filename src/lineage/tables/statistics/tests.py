"""Two samples of runs compared: how large is the difference, and how sure is it?

Rows that ran the same seeds are compared seed by seed (a paired t test): what a seed does to both rows cancels. Rows
that ran different seeds are compared by Welch's test. With fewer than three runs of a row there is no spread of our own
to speak of, and the published one of the dataset serves. All intervals are two-sided.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, sqrt

from lineage.tables.statistics import seed_noise
from lineage.tables.statistics.seed_noise import ENOUGH, Published, Sample
from lineage.tables.statistics.student_t import ALPHA, beyond, needed, quantile

PAIRED, UNPAIRED, BY_PUBLISHED = "paired", "unpaired", "published noise"


@dataclass(frozen=True)
class Comparison:
    difference: float  # a minus b
    error: float  # its standard error
    freedom: float
    sd: float  # of the difference of one run of each
    n: int  # pairs, or the runs of the smaller sample
    test: str
    source: str = ""  # of a published noise

    def margin(self, level: float = ALPHA) -> float:
        """Half the interval that misses the true difference in `level` of all cases."""
        return quantile(level / 2, self.freedom) * self.error

    def differs(self) -> float:
        """p of: there is no difference."""
        return min(1.0, 2 * self._tail(abs(self.difference)))

    def is_near(self, target: float, tolerance: float) -> float:
        """p of: the true difference is further than `tolerance` from `target` (two one-sided tests)."""
        return self._tail(tolerance - abs(self.difference - target))

    def is_far(self, target: float, tolerance: float) -> float:
        """p of: the true difference is within `tolerance` of `target`."""
        return min(1.0, 2 * self._tail(abs(self.difference - target) - tolerance))

    def _tail(self, distance: float) -> float:
        if self.error == 0:  # runs that repeat each other bit by bit
            return 0.0 if distance > 0 else 0.5 if distance == 0 else 1.0
        return beyond(distance / self.error, self.freedom)

    def more(self, effect: float, level: float) -> int | None:
        """Runs of each row beyond the present ones that would find a true `effect`; None where nothing is known."""
        if effect <= 0 or self.sd == 0:
            return None
        return max(1, needed(round(effect, 6), round(self.sd, 6), level) - self.n)


def compare(a: Sample, b: Sample, dataset: str) -> Comparison | None:
    """None where neither we nor anybody else knows how much a seed does; `dataset` is "" where no other can know."""
    theirs = set(b.seeds)
    shared = [seed for seed in a.seeds if seed in theirs]
    if len(shared) >= ENOUGH:
        return _paired(dict(zip(a.seeds, a.values, strict=True)), dict(zip(b.seeds, b.values, strict=True)), shared)
    if min(a.n, b.n) >= ENOUGH:
        return _welch(a, b)
    known = seed_noise.published(dataset)
    return _by(known, a.mean - b.mean, a.n, b.n) if known else None


def to_number(ours: Sample, value: float, sd: float | None, runs: int, dataset: str) -> Comparison | None:
    """Ours minus a published number, the mean of `runs` runs of their `sd`; else as noisy as is known, or as ours."""
    known, difference = seed_noise.published(dataset), ours.mean - value
    if ours.n < ENOUGH:
        return _by(known, difference, ours.n, runs) if known else None
    spread = ours.sd or 0.0
    if sd is None and (known is None or known.sd <= spread):
        error = spread * sqrt(1 / ours.n + 1 / runs)
        return Comparison(difference, error, ours.n - 1, spread * sqrt(2), ours.n, UNPAIRED)
    theirs, theirs_freedom = (sd, runs - 1) if sd is not None and runs > 1 else (sd or known.sd, inf)  # type: ignore[union-attr]
    error, freedom = _satterthwaite(spread**2 / ours.n, ours.n - 1, theirs**2 / runs, theirs_freedom)
    return Comparison(difference, error, freedom, sqrt(spread**2 + theirs**2), ours.n, UNPAIRED)


def _paired(a: dict[int, float], b: dict[int, float], seeds: list[int]) -> Comparison:
    differences = [a[seed] - b[seed] for seed in seeds]
    n, sd = len(seeds), seed_noise.sd(differences)
    return Comparison(seed_noise.mean(differences), sd / sqrt(n), n - 1, sd, n, PAIRED)


def _welch(a: Sample, b: Sample) -> Comparison:
    ours, theirs = ((sample.sd or 0.0) ** 2 for sample in (a, b))
    error, freedom = _satterthwaite(ours / a.n, a.n - 1, theirs / b.n, b.n - 1)
    return Comparison(a.mean - b.mean, error, freedom, sqrt(ours + theirs), min(a.n, b.n), UNPAIRED)


def _satterthwaite(ours: float, freedom: float, theirs: float, other: float) -> tuple[float, float]:
    """The standard error of a difference of two means of such variances, and its degrees of freedom."""
    shares = ours**2 / freedom + theirs**2 / other
    return sqrt(ours + theirs), (ours + theirs) ** 2 / shares if shares else inf


def _by(known: Published, difference: float, n: int, m: int) -> Comparison:
    error = known.sd * sqrt(1 / n + 1 / m)
    return Comparison(difference, error, inf, known.sd * sqrt(2), min(n, m), BY_PUBLISHED, known.source)


def holm(values: list[float]) -> list[float]:
    """p values corrected for being many: the chance that any of those below a level is wrong is at most that level."""
    adjusted, worst, many = [0.0] * len(values), 0.0, len(values)
    for rank, i in enumerate(sorted(range(many), key=lambda i: values[i])):
        worst = max(worst, min(1.0, (many - rank) * values[i]))
        adjusted[i] = worst
    return adjusted
