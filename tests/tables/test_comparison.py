"""Every number of a comparison against its closed form, and decisions at their boundaries."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
from scipy import stats

from lineage.eval.metrics import bootstrap
from lineage.tables.statistics import significance
from lineage.tables.statistics.pooled_noise import NoiseEstimate, TableNoise, combine, find_paired_rows, pool, pool_sd
from lineage.tables.statistics.seed_noise import SeedSample
from lineage.tables.statistics.significance import (
    Comparison,
    PublishedNumber,
    compare,
    compare_to_number,
    find_levels,
)
from lineage.tables.statistics.student_t import chi2_isf, nct_sf, t_isf

NOISE = NoiseEstimate(0.25, 6, "here")
COMPARISON = Comparison(0.7, 0.3, 6, 3, NOISE)


def sample(*values: float) -> SeedSample:
    return SeedSample(values, tuple(range(len(values))))


def test_p_values_and_margins_are_those_of_students_t() -> None:
    def tail(distance: float) -> float:
        return float(stats.t.sf(distance / 0.3, 6))

    turned = replace(COMPARISON, difference=-0.7)
    for comparison, sign in ((COMPARISON, 1), (turned, -1)):
        assert comparison.p_different() == pytest.approx(2 * tail(0.7))
        assert comparison.p_equivalent(sign * 0.5, 0.4) == pytest.approx(tail(0.4 - 0.2))
        assert comparison.p_beyond_tolerance(sign * 0.2, 0.4) == pytest.approx(2 * tail(0.5 - 0.4))
        assert comparison.p_beyond_tolerance(sign * 0.7, 0.4) == 1.0
    assert replace(COMPARISON, difference=0.0).p_different() == 1.0
    assert COMPARISON.margin() == pytest.approx(stats.t.isf(0.025, 6) * 0.3)
    assert COMPARISON.margin(0.01) == pytest.approx(stats.t.isf(0.005, 6) * 0.3)
    exact = replace(COMPARISON, standard_error=0.0)
    assert [exact.p_equivalent(0.0, edge) for edge in (0.8, 0.7, 0.6)] == [0.0, 0.5, 1.0]


def test_the_noise_of_images_is_added_to_that_of_seeds() -> None:
    """Satterthwaite's degrees of freedom; the bootstrap has those of its draws."""
    assert significance.IMAGE_DF == bootstrap.DRAWS - 1
    assert COMPARISON.add_images(None) is COMPARISON
    both = replace(COMPARISON, fixed_variance=0.01).add_images(0.04)
    assert both.standard_error == pytest.approx(sqrt(0.09 + 0.04))
    assert both.df == pytest.approx((0.09 + 0.04) ** 2 / (0.09**2 / 6 + 0.04**2 / 199))
    assert (both.fixed_variance, both.noises) == (pytest.approx(0.05), ("seeds", "images"))
    assert replace(both, standard_error=0.0).add_images(0.0).df == float("inf")


@pytest.mark.parametrize("fixed", [0.0, 0.02])
def test_the_required_runs_are_the_fewest_with_the_power(fixed: float) -> None:
    comparison = replace(COMPARISON, fixed_variance=fixed)
    low, high = NOISE.interval()
    assert [low, high] == [pytest.approx(0.25 * sqrt(6 / chi2_isf(p, 6))) for p in (0.1, 0.9)]

    def count(distance: float, sd: float, first: int) -> int | None:
        scale = 3 * (0.09 - fixed) / 0.25**2
        for n in range(first, 1001):
            error = sqrt(scale * sd**2 / n + fixed * (sd / 0.25) ** 2)
            df = 6 + 2 * max(0, n - 3)
            if nct_sf(t_isf(0.025, df), df, distance / error) >= 0.8:
                return n
        return None

    for distance in np.linspace(0.55, 3.0, 13 if fixed else 57):
        expected = tuple(count(distance, sd, 1) for sd in (0.25, low, high))
        assert comparison.compute_required_seeds(distance, 0.025) == expected
    assert comparison.compute_required_seeds(0.0, 0.025) == (None, None, None)
    if not fixed:  # around the largest number that is searched
        error = 0.3 * sqrt(3 / 1000)
        edge = error * (stats.t.isf(0.025, 2000) + stats.norm.ppf(0.8))
        counts = [(comparison.compute_required_seeds(edge * (1 + k / 5000), 0.025)[0], edge * (1 + k / 5000))
                  for k in range(-12, 12)]  # fmt: skip
        assert all(number == count(distance, 0.25, 990) for number, distance in counts)
        assert {None, 1000} <= {number for number, _ in counts}


def test_means_of_so_many_seeds_are_compared_with_the_noise_of_all() -> None:
    a, b = sample(27.0, 28.0, 27.5, 26.0, 29.0), sample(26.0, 26.5, 28.0)
    pooled = sqrt((4 * np.var(a.values, ddof=1) + 2 * np.var(b.values, ddof=1)) / 6)
    assert pool_sd(a, b, sample(1.0)) == pytest.approx(pooled)
    assert pool_sd(sample(1.0), sample(2.0)) == 0.0
    for first, n_a, n_b in ((None, 5, 3), (4, 4, 3), (2, 2, 2), (1, 1, 1)):
        comparison = compare(a, b, TableNoise(NOISE), first=first)
        assert comparison is not None
        assert comparison.difference == pytest.approx(np.mean(a.values[:n_a]) - np.mean(b.values[:n_b]))
        assert comparison.standard_error == pytest.approx(pooled * sqrt(1 / n_a + 1 / n_b))
        assert (comparison.n, comparison.df, comparison.fixed_variance) == (n_b, 6, 0.0)


def test_pairs_are_the_shared_seeds_and_three_at_least() -> None:
    a, b = sample(27.0, 28.0, 27.5, 26.0), SeedSample((25.0, 26.0, 26.5, 9.0), (2, 1, 0, 7))
    group = find_paired_rows({"a": a, "b": b}, always=True)
    assert group is not None
    noise = TableNoise(NOISE, [replace(group, noise=NoiseEstimate(0.01, 2, "pairs"))])
    differences = [27.0 - 26.5, 28.0 - 26.0, 27.5 - 25.0]
    for first, n in ((None, 3), (2, 2), (9, 3)):
        comparison = compare(a, b, noise, ("a", "b"), first)
        assert comparison is not None
        assert comparison.difference == pytest.approx(np.mean(differences[:n]))
        assert comparison.standard_error == pytest.approx(np.std(differences, ddof=1) / sqrt(n))
        assert (comparison.test, comparison.n, comparison.df) == ("paired", n, 2)
    two = SeedSample((25.0, 26.0, 9.0), (2, 1, 7))
    for other, names in ((two, ("a", "b")), (b, ("a", "c"))):
        comparison = compare(a, other, noise, names)
        assert comparison is not None
        assert comparison.test == "unpaired"


@pytest.mark.parametrize(
    ("spread", "runs", "published", "df"),
    [
        (None, 1, 0.25**2, 6),
        (None, 4, 0.25**2 / 4, 6),
        (0.4, 1, 0.4**2, 6),
        (0.0, 1, 0.0, 6),
        (0.4, 2, 0.4**2 / 2, None),
        (0.4, 5, 0.4**2 / 5, None),
    ],
)
def test_a_published_number_has_the_variance_of_its_runs(
    spread: float | None, runs: int, published: float, df: int | None
) -> None:
    ours = sample(30.1, 30.3, 29.9, 30.2)
    for first, n in ((None, 4), (2, 2)):
        comparison = compare_to_number(ours, PublishedNumber(30.0, spread, runs), TableNoise(NOISE), first)
        assert comparison is not None
        own = 0.25**2 / n
        assert comparison.difference == pytest.approx(np.mean(ours.values[:n]) - 30.0)
        assert comparison.standard_error == pytest.approx(sqrt(own + published))
        satterthwaite = (own + published) ** 2 / (own**2 / 6 + published**2 / max(1, runs - 1))
        assert comparison.df == pytest.approx(satterthwaite if df is None else df)
        assert (comparison.n, comparison.fixed_variance) == (n, pytest.approx(published))
    noisy = compare_to_number(sample(30.0, 31.0), PublishedNumber(30.0, 0.0, 1), TableNoise(NOISE))
    assert noisy is not None
    assert noisy.standard_error == pytest.approx(sqrt(0.5 / 2))
    assert compare_to_number(ours, PublishedNumber(30.0, None, 1), TableNoise(None)) is None


def test_levels_are_those_of_holm() -> None:
    assert find_levels([0.02, 0.001, 0.5]) == pytest.approx([0.05 / 2, 0.05 / 3, 0.05])
    assert find_levels([0.04, 0.5, 0.6]) == pytest.approx([0.05 / 3] * 3)
    assert find_levels([0.05]) == [0.05]
    assert find_levels([]) == []


@pytest.mark.parametrize(
    ("own", "prior", "expected"),
    [
        (None, None, None),
        ((0.5, 2), None, None),
        ((0.5, 3), None, (0.5, 3)),
        (None, (0.2, 4), (0.2, 4)),
        (None, (0.2, 28), (0.2, 8)),
        ((0.5, 3), (0.2, 28), (0.5, 3)),  # as it was measured here
        ((0.5, 2), (0.2, 28), (sqrt((2 * 0.25 + 8 * 0.04) / 10), 10)),  # too few runs of our own
        ((0.2, 3), (0.2, 28), (0.2, 11)),
        ((0.1, 30), (0.2, 4), (sqrt((30 * 0.01 + 4 * 0.04) / 34), 34)),
    ],
)
def test_a_prior_is_weighted_by_its_degrees_of_freedom(
    own: tuple[float, int] | None, prior: tuple[float, int] | None, expected: tuple[float, int] | None
) -> None:
    estimates = [None if one is None else NoiseEstimate(*one, source) for one, source in ((own, "own"), (prior, "p"))]
    noise = combine(*estimates)
    assert (None if noise is None else (noise.sd, noise.df)) == (None if expected is None else pytest.approx(expected))


def test_noise_of_rows_is_the_larger_one_and_single_runs_have_none() -> None:
    assert NOISE.at_least(0.25) is NOISE
    assert NOISE.at_least(0.3) == NoiseEstimate(0.3, 6, "these rows, noisier than here")
    assert pool([{"a": sample(1.0)}, {"b": sample(2.0)}]) is None
    shared = pool([{"a": sample(1.0, 2.0, 3.0), "b": sample(1.0, 3.0, 5.0), "c": sample(4.0)}, {"d": sample(1.0, 2.0)}])
    assert shared is not None  # variances 1 and 4 of one group, .5 of the other
    assert (shared.sd, shared.df) == (pytest.approx(sqrt((2.5 * 2 + 0.5) / 3)), 3)


def test_rows_are_paired_where_an_analysis_of_variance_finds_seeds() -> None:
    """At 1 % and with four degrees of freedom, for tables of any size."""
    chance, outcomes = np.random.default_rng(0), []
    for rows, seeds in ((2, 3), (3, 3), (2, 5), (4, 3), (2, 4), (1, 5), (3, 2)):
        for _ in range(30):
            data = chance.normal(size=(rows, seeds)) * 0.3 + chance.normal(size=seeds) + chance.normal(size=(rows, 1))
            group = find_paired_rows({str(i): sample(*map(float, row)) for i, row in enumerate(data)})
            df = (rows - 1) * (seeds - 1)
            centered = data - data.mean(1, keepdims=True)
            residual = ((centered - centered.mean(0)) ** 2).sum()
            is_large = df >= 4 and seeds >= 3
            ratio = rows * (centered.mean(0) ** 2).sum() / (seeds - 1) / (residual / df) if is_large else 0.0
            expected = is_large and stats.f.sf(ratio, seeds - 1, df) <= 0.01
            assert (group is not None) == expected
            outcomes.append(expected)
            if group is not None:
                assert (group.noise.sd, group.noise.df) == (pytest.approx(sqrt(residual / df)), df)
    assert 30 < sum(outcomes) < len(outcomes) - 30
    exact = {name: sample(*np.add(start, range(5))) for name, start in (("a", 1.0), ("b", 3.0))}
    group = find_paired_rows(exact)
    assert group is not None
    assert group.noise.sd == 0.0
    assert find_paired_rows({name: sample(*[3.0] * 5) for name in "ab"}) is None
    few = {"a": sample(1.0, 2.0), "b": sample(1.0, 2.5)}
    assert find_paired_rows(few, always=True) is None
