from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from scipy import stats

from lineage.tables.statistics.pooled_noise import (
    NoiseEstimate,
    TableNoise,
    combine,
    estimate_noise,
    find_paired_rows,
)
from lineage.tables.statistics.seed_noise import SeedSample
from lineage.tables.statistics.significance import (
    PAIRED,
    UNPAIRED,
    PublishedNumber,
    adjust_holm,
    compare,
    compare_to_number,
    find_levels,
)

A, B = (27.1, 27.9, 26.8, 27.4), (26.9, 27.2, 26.9, 26.8)
SHIFTS = (0.0, 2.0, -1.5, 0.7)  # of a seed


def sample(values: tuple[float, ...], first: int = 0, training: str = "") -> SeedSample:
    return SeedSample(values, tuple(range(first, first + len(values))), training=training)


def moving(*rows: tuple[float, ...]) -> dict[str, SeedSample]:
    """Rows whose runs of one seed move together."""
    return {name: sample(tuple(np.add(row, SHIFTS))) for name, row in zip("abcd", rows, strict=False)}


def test_two_rows_with_one_noise_are_compared_by_students_t() -> None:
    rows = {"a": sample(A), "b": sample(B, first=10)}
    comparison = compare(rows["a"], rows["b"], estimate_noise(rows, None), ("a", "b"))
    assert comparison is not None
    assert comparison.test == UNPAIRED
    expected = stats.ttest_ind(A, B)
    assert comparison.p_different() == pytest.approx(expected.pvalue, rel=1e-9)
    assert comparison.margin() == pytest.approx(np.diff(expected.confidence_interval(0.95))[0] / 2, rel=1e-9)


def test_noise_is_pooled_over_all_rows_of_a_table() -> None:
    rows = {"a": sample(A), "b": sample(B), "c": sample((20.0, 20.5, 19.9)), "d": sample((20.0,))}
    noise = estimate_noise(rows, None).single
    assert noise is not None
    variances = [(len(row.values) - 1, np.var(row.values, ddof=1)) for row in rows.values() if row.n > 1]
    assert noise.df == sum(df for df, _ in variances) == 8
    assert noise.sd**2 == pytest.approx(sum(df * variance for df, variance in variances) / 8)


def test_rows_that_test_the_same_checkpoints_count_once_and_are_paired() -> None:
    rows = {"a": sample(A, training="t"), "b": sample(tuple(np.add(A, 0.3)), training="t"), "c": sample(B)}
    noise = estimate_noise(rows, None)
    assert noise.single is not None
    assert noise.single.df == 6
    assert noise.find_paired("a", "b") is not None
    assert noise.find_paired("a", "c") is None


def test_seeds_are_paired_only_where_they_have_an_effect() -> None:
    """The F test is that of a two-way analysis of variance."""
    together = moving(A, B, tuple(np.multiply(A, 0.99)))
    paired = find_paired_rows(together)
    assert paired is not None
    data = np.array([row.values for row in together.values()])
    residual = data - data.mean(1, keepdims=True) - data.mean(0) + data.mean()
    assert paired.noise.df == 6
    assert paired.noise.sd**2 == pytest.approx((residual**2).sum() / 6)
    comparison = compare(together["a"], together["b"], estimate_noise(together, None), ("a", "b"))
    assert comparison is not None
    assert (comparison.test, comparison.df) == (PAIRED, 6)
    assert find_paired_rows({"a": sample(A), "b": sample(B), "c": sample((25.0, 25.1, 24.8, 25.0))}) is None


def test_the_larger_noise_of_the_rows_at_hand_counts() -> None:
    calm = NoiseEstimate(0.1, 20, "the table")
    comparison = compare(sample(A), sample(B), TableNoise(calm))
    assert comparison is not None
    assert comparison.noise.sd == pytest.approx(sqrt((np.var(A, ddof=1) + np.var(B, ddof=1)) / 2))
    assert comparison.df == 20


def test_a_prior_gives_one_run_a_noise_and_never_makes_it_smaller_than_measured() -> None:
    prior = NoiseEstimate(0.2, 28, "published")
    alone = combine(None, prior)
    assert alone is not None
    assert (alone.sd, alone.df) == (0.2, 8)
    both = combine(NoiseEstimate(0.1, 8, "here"), prior)
    assert both is not None
    assert (both.sd**2, both.df) == (pytest.approx((0.1**2 + 0.2**2) / 2), 16)
    assert combine(NoiseEstimate(0.5, 4, "here"), prior) == NoiseEstimate(0.5, 4, "here")
    assert combine(NoiseEstimate(0.5, 2, "here"), None) is None
    assert compare(sample((30.0,)), sample((29.0,)), TableNoise(None)) is None


def test_a_published_number_has_noise_too() -> None:
    ours, noise = sample((30.1, 30.3, 29.9)), TableNoise(NoiseEstimate(0.2, 10, "here"))
    stated, alike = (
        compare_to_number(ours, PublishedNumber(30.0, 0.39, 5), noise),
        compare_to_number(ours, PublishedNumber(30.0, None, 1), noise),
    )
    assert stated is not None
    assert alike is not None
    assert stated.standard_error == pytest.approx(sqrt(0.04 / 3 + 0.39**2 / 5))
    twice = compare_to_number(ours, PublishedNumber(30.0, 0.5, 2), noise)
    assert twice is not None
    assert (twice.standard_error, twice.df < 10) == (pytest.approx(sqrt(0.04 / 3 + 0.5**2 / 2)), True)
    assert (alike.standard_error, alike.df) == (pytest.approx(0.2 * sqrt(4 / 3)), 10)


def test_repetitions_without_any_noise() -> None:
    none = TableNoise(NoiseEstimate(0.0, 4, "here"))
    ones, twos = sample((1.0,) * 3), sample((2.0,) * 3)
    same, other = compare(ones, ones, none), compare(twos, ones, none)
    assert same is not None
    assert other is not None
    p_values = (same.p_different(), same.p_equivalent(0, 0.5), other.p_different(), other.p_equivalent(0, 0.5))
    assert p_values == (1.0, 0.0, 0.0, 1.0)
    assert other.compute_required_seeds(1.0, 0.05) == (1, 1, 1)


def test_equivalence_is_two_one_sided_tests() -> None:
    rows = {"a": sample(A), "b": sample(B, first=10)}
    comparison = compare(rows["a"], rows["b"], estimate_noise(rows, None))
    assert comparison is not None
    sides = ((-1, "greater"), (1, "less"))
    tests = [stats.ttest_ind(np.subtract(A, edge), B, alternative=side).pvalue for edge, side in sides]
    assert comparison.p_equivalent(0.0, 1.0) == pytest.approx(max(tests), rel=1e-9)


def test_the_required_seeds_have_the_power() -> None:
    rows = {"a": sample(A), "b": sample(B, first=10)}
    comparison = compare(rows["a"], rows["b"], estimate_noise(rows, None))
    assert comparison is not None
    best, low, high = comparison.compute_required_seeds(0.4, 0.025)
    assert best is not None
    assert low is not None
    assert high is not None
    assert low < best < high
    df = comparison.df + 2 * (best - 4)
    reached = stats.nct.sf(stats.t.isf(0.025, df), df, 0.4 / (comparison.noise.sd * sqrt(2 / best)))
    assert reached == pytest.approx(0.8, abs=0.03)
    number = compare_to_number(sample(A), PublishedNumber(27.3, None, 1), TableNoise(NoiseEstimate(0.3, 10, "here")))
    assert number is not None
    assert number.compute_required_seeds(0.2, 0.05)[0] is None  # the published run is a single one for ever


def test_holm() -> None:
    assert adjust_holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert adjust_holm([0.5, 0.9]) == [1.0, 1.0]
    assert adjust_holm([]) == []


def test_an_interval_agrees_with_its_test() -> None:
    chance = np.random.default_rng(0)
    for _ in range(200):
        p_values = list(chance.uniform(0, 0.06, size=4))
        corrected, levels = adjust_holm(p_values), find_levels(p_values)
        assert [p <= 0.05 for p in corrected] == [p <= level for p, level in zip(p_values, levels, strict=True)]
